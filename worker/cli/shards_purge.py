"""`shardworker shards purge`: inbox rows that are not needed any more, deleted while the workers go on."""

import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Annotated, NamedTuple

import typer

from config.measures import format_duration
from config.settings import Settings
from shards.engines import Shard
from shards.purge import MARGIN, count_old, purge
from worker.cli.common import ConfigOption, JsonOption, open_settings, to_duration
from worker.cli.errors import CommandError
from worker.cli.every_place import JobsOption, Question, ShardsArgument, ask_with_progress
from worker.cli.output import print_json, print_line
from worker.cli.places import place_name


class Line(NamedTuple):
    """How many rows of one place are old; `error` says why that is not known or not done."""

    place: str
    rows: int | None
    milliseconds: int
    error: str | None = None


def purge_shards(
    names: ShardsArgument = None,
    *,
    older_than: Annotated[
        timedelta | None,
        typer.Option(
            "--older-than",
            parser=to_duration,
            metavar="DURATION",
            show_default=False,
            help="Delete what is older. Without it: [inbox] retention and a day, which is the least.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count; delete nothing.")] = False,
    jobs: JobsOption = 8,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete old inbox rows, on all shards at once, in small batches. The workers go on meanwhile.

    An inbox row is what makes a copy of a job harmless, so no row is deleted while a copy can still come. A
    job older than [inbox] retention is refused as too_old before the inbox is asked: rows that are older than
    that, and a day for clocks that differ, are asked for by nobody.

    It can be stopped at any time (Ctrl-C): each batch is a transaction of its own, and the next run goes on.
    Run it once a day or so.
    """
    settings = open_settings(config).settings
    before = time.time() - _age(settings, older_than).total_seconds()
    deleted = _Deleted()
    question = partial(_count, before) if dry_run else partial(_purge, before, deleted)
    try:
        lines = _ask(settings, names or [], question, jobs)
    except KeyboardInterrupt:
        deleted.stop.set()
        raise CommandError(f"Stopped after {deleted.rows} rows. Run it again to go on.") from None
    _report(lines, as_json=as_json, done="are old" if dry_run else "deleted")


class _Deleted:
    """What was deleted until now, over all threads, and the event that ends it between two batches."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.rows = 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self.rows += count


def _age(settings: Settings, older_than: timedelta | None) -> timedelta:
    """How old a row must be; raises `CommandError` where that could let a job run twice."""
    least = settings.inbox.retention + MARGIN
    if older_than is not None and older_than < least:
        raise CommandError(
            f"--older-than {format_duration(older_than)} is less than [inbox] retention and a day "
            f"({format_duration(least)}): a copy of a job that comes until then would run a second time."
        )
    return older_than or least


def _count(before: float, shard: Shard, schema: str | None) -> int:
    return count_old(shard, schema, before)


def _purge(before: float, deleted: _Deleted, shard: Shard, schema: str | None) -> int:
    return purge(shard, schema, before, deleted.stop, deleted.add)


def _ask(settings: Settings, names: Sequence[str], question: Question[int], jobs: int) -> list[Line]:
    answers = ask_with_progress(settings, names, question, jobs=jobs)
    lines = [Line(place_name(one.place), one.value, one.milliseconds, one.error) for one in answers]
    return sorted(lines)


def _report(lines: Sequence[Line], *, as_json: bool, done: str) -> None:
    if as_json:
        print_json([line._asdict() for line in lines])
    else:
        for line in lines:
            if not line.error:
                print_line(f"{line.place}: {line.rows} rows {done} ({line.milliseconds} ms)")
        print_line(f"{sum(line.rows or 0 for line in lines)} rows {done} in {len(lines)} places.")
    failed = [f"{line.place}: {line.error}" for line in lines if line.error]
    if failed:
        raise CommandError("\n".join(failed))
