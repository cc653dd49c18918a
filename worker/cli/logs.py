"""`shardworker logs`: the log's JSON lines, shown to people, filtered and summed up."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from worker.cli.logs_filters import Filters
from worker.cli.logs_lines import Painter
from worker.cli.logs_options import (
    CustomerOption,
    EventOption,
    FilesArgument,
    FollowOption,
    FullOption,
    JobOption,
    LevelOption,
    OutcomeOption,
    PartnerOption,
    QuietOption,
    RawOption,
    ShardOption,
    SinceOption,
    SlowOption,
    SummaryOption,
    TypeOption,
    UntilOption,
)
from worker.cli.logs_reader import LogReader
from worker.cli.logs_sources import Batch, followed_files, standard_input, whole_files
from worker.cli.logs_summary import Summary
from worker.cli.output import print_line, print_table


def logs(  # noqa: PLR0913 - each option is a parameter
    files: FilesArgument = None,
    *,
    job: JobOption = None,
    customer: CustomerOption = None,
    shard: ShardOption = None,
    partner: PartnerOption = None,
    job_type: TypeOption = None,
    outcome: OutcomeOption = None,
    event: EventOption = None,
    level: LevelOption = None,
    slow: SlowOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    follow: FollowOption = False,
    full: FullOption = False,
    summary: SummaryOption = True,
    quiet: QuietOption = False,
    as_json: RawOption = False,
) -> None:
    """Show a worker's log to people: JSON lines from standard input or files.

    \b
    journalctl -u 'shardworker@*' -o cat --since -1h | shardworker logs --level warning
    journalctl -fu 'shardworker@*' -o cat | shardworker logs --slow 2s
    shardworker logs --follow --shard eu1 /var/log/shardworker.log
    journalctl -u 'shardworker@*' -o cat | shardworker logs --partner acme --quiet
    journalctl -u 'shardworker@*' -o cat | shardworker logs --outcome failed --json | jq .job

    Lines that are none of the worker's are shown as they are, unless a filter or --json is given.
    At the end, also after Ctrl-C, stands what was shown in all: counts, percentiles (within 2 %), errors,
    shards. Times are this machine's; a --since without a zone is UTC.
    """  # noqa: D301 - click's mark for a paragraph that keeps its lines
    equal = {"job": job, "customer": customer, "partner": partner, "type": job_type, "outcome": outcome}
    filters = Filters(
        {name: values for name, values in equal.items() if values},
        shards=shard or (),
        events=event or (),
        level=level,
        slow=slow,
        since=since,
        until=until,
    )
    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    reader = LogReader(filters, Painter(colours=colours, full=full), as_json=as_json, is_quiet=quiet)
    batches = _batches(files or (), follow=follow, from_start=since is not None)
    with _stopping_quietly():
        # Ctrl-C is how following ends, not an error.
        with suppress(KeyboardInterrupt):
            reader.copy(batches, sys.stdout.buffer)
        if summary and not as_json:
            _print_summary(reader.summary)
        sys.stdout.flush()


def _batches(files: Sequence[Path], *, follow: bool, from_start: bool) -> Iterator[Batch]:
    if not files:
        return standard_input(sys.stdin.fileno())
    return followed_files(files, time.sleep, from_start=from_start) if follow else whole_files(files)


@contextmanager
def _stopping_quietly() -> Iterator[None]:
    """Whoever reads the output has seen enough when it closes the pipe: that is no error."""
    try:
        yield
    except BrokenPipeError:
        # What is left in the buffer would fail again when the interpreter leaves.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _print_summary(summary: Summary) -> None:
    print_line("")
    print_line(summary.headline())
    for title, columns, rows in summary.tables():
        print_table(columns, rows, title)
