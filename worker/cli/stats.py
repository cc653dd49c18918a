"""`shardworker stats`: how long the queues are, and what the workers of this machine do, once or live."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from config.settings import Settings
from worker.cli.common import ConfigOption, JsonOption, open_queue, open_settings, to_duration
from worker.cli.errors import CommandError
from worker.cli.findings import queue_urls
from worker.cli.output import make_table, print_json, show
from worker.cli.queue_names import chosen_queues
from worker.cli.stats_workers import Seen, complaints, lanes_together, see_workers
from worker.transports.base import TransportError

QUEUES_ASKED_EVERY: Final = timedelta(seconds=10)
"""Asking SQS costs a request for each queue, and its numbers are minutes old now and then."""

QUEUE_COLUMNS: Final = ("queue", "for", "waiting", "leased", "delayed", "what is wrong")
WORKER_COLUMNS: Final = ("worker", "in hand", "done", "failed", "oldest", "longest call", "what is wrong")
LANE_COLUMNS: Final = ("shard", "waiting", "running", "breaker", "opened")

Row = Mapping[str, Any]
Queues = Sequence[tuple[str, str]]
"""What each queue is for, and its URL."""


class Format(StrEnum):
    """How it is printed."""

    TEXT = "txt"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Stats:
    """What is shown: a row for each queue, the workers, and when that was."""

    queues: Sequence[Row]
    workers: Sequence[Seen]
    at: datetime


def stats(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[QUEUE]...", show_default=False, help="Only these queues; all without any."),
    ] = None,
    *,
    config: ConfigOption = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it again and again, until Ctrl-C.")
    ] = False,
    interval: Annotated[
        timedelta,
        typer.Option(parser=to_duration, metavar="DURATION", help="With --watch: how often, such as 2s."),
    ] = timedelta(seconds=2),
    form: Annotated[
        Format, typer.Option("--format", help="For people, or JSON as with --json.")
    ] = Format.TEXT,
    as_json: JsonOption = False,
) -> None:
    """Tell how many messages wait on each queue, and what the workers of this machine do.

    Mirrors `messenger:stats`.

    The workers are those that share the configured state directory; each is asked at its socket there. One
    that does not answer within a second is shown as it wrote of itself last. Shards at which nothing waits or
    runs, and that are not away, are left out of the table. With --watch and --json there is a line each time.

    In JSON, `transports` and `uncountable_transports` tell the waiting messages as Symfony's command does.
    """
    as_json = as_json or form is Format.JSON
    if watch and not as_json and not Console().is_terminal:
        raise CommandError("--watch draws on a terminal, and this is none: add --json for a line each time.")
    settings = open_settings(config).settings
    chosen = chosen_queues(queue_urls(settings), names or ())
    looks = _looks(settings, chosen, interval)
    try:
        _show_all(looks if watch else islice(looks, 1), as_json=as_json, watch=watch)
    except KeyboardInterrupt:
        raise typer.Exit from None


def _show_all(looks: Iterator[Stats], *, as_json: bool, watch: bool) -> None:
    if as_json:
        for look in looks:
            print_json(as_object(look))
    elif watch:
        with Live(auto_refresh=False, screen=True) as live:
            for look in looks:
                live.update(Group(*tables(look)), refresh=True)
    else:
        for look in looks:
            show(tables(look))


def _looks(settings: Settings, chosen: Queues, interval: timedelta) -> Iterator[Stats]:
    queues, asked_at = _queues(settings, chosen), time.monotonic()
    while True:
        if time.monotonic() - asked_at >= QUEUES_ASKED_EVERY.total_seconds():
            queues, asked_at = _queues(settings, chosen), time.monotonic()
        yield _look(settings, queues)
        time.sleep(interval.total_seconds())


def _look(settings: Settings, queues: Sequence[Row]) -> Stats:
    return Stats(queues, see_workers(settings.worker.state_directory), datetime.now(UTC))


def _queues(settings: Settings, chosen: Queues) -> list[Row]:
    return [_queue(settings, what, url) for what, url in chosen]


def _queue(settings: Settings, what: str, url: str) -> Row:
    with open_queue(url, settings) as queue:
        row = {"queue": queue.name, "for": what.removesuffix(" queue")}
        try:
            return {**row, **queue.depth()._asdict(), "error": None}
        except TransportError as error:
            return {**row, "waiting": None, "leased": None, "delayed": None, "error": str(error)}


def as_object(look: Stats) -> dict[str, Any]:
    """What is shown, for programs: all of it."""
    return {
        "at": look.at.isoformat(),
        "queues": list(look.queues),
        "workers": [{**msgspec.to_builtins(seen.status), "answers": seen.answers} for seen in look.workers],
        "lanes": lanes_together(look.workers),
        **_as_symfony(look.queues),
    }


def _as_symfony(queues: Sequence[Row]) -> dict[str, Any]:
    counts = {row["queue"]: row["waiting"] for row in queues}
    return {
        "transports": {name: {"count": count} for name, count in counts.items() if count is not None},
        "uncountable_transports": [name for name, count in counts.items() if count is None],
    }


def tables(look: Stats) -> list[Table]:
    """What is shown, for people: queues, workers, and the lanes in which something goes on."""
    lanes = {shard: lane for shard, lane in lanes_together(look.workers).items() if _is_busy(lane)}
    workers = [_worker_cells(seen, look.at) for seen in look.workers]
    return [
        make_table(QUEUE_COLUMNS, [tuple(row.values()) for row in look.queues], title="Queues"),
        make_table(WORKER_COLUMNS, workers, title=f"{len(workers)} workers on this machine"),
        make_table(LANE_COLUMNS, [(shard, *lane.values()) for shard, lane in lanes.items()], title="Lanes"),
    ]


def _is_busy(lane: Row) -> bool:
    return bool(lane["waiting"] or lane["running"]) or lane["breaker"] != "closed"


def _worker_cells(seen: Seen, now: datetime) -> tuple[object, ...]:
    status = seen.status
    return (
        status.instance,
        f"{status.in_hand} of {status.in_hand_max}",
        status.settled,
        status.failed,
        _since(status.oldest_since, now),
        _since(status.running_since, now),
        complaints(seen, now),
    )


def _since(moment: datetime | None, now: datetime) -> str | None:
    return None if moment is None else f"{max(0.0, (now - moment).total_seconds()):.1f} s"
