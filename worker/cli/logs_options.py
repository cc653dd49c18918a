"""The options of `shardworker logs`: which lines are meant, and how they are shown."""

from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from worker.cli.common import to_duration
from worker.cli.failed_choice import MOMENT, to_moment


class Level(StrEnum):
    """A line's level."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _any_of(name: str, text: str) -> Any:
    return typer.Option(name, show_default=False, help=f"{text} Can be repeated.")


FilesArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FILE]...", show_default=False, help="Without any: standard input."),
]
JobOption = Annotated[list[str] | None, _any_of("--job", "Only lines about this job.")]
CustomerOption = Annotated[
    list[str] | None, _any_of("--customer", "Only lines about this customer's part of a job.")
]
ShardOption = Annotated[list[str] | None, _any_of("--shard", "Only lines about this shard.")]
PartnerOption = Annotated[list[str] | None, _any_of("--partner", "Only this partner's jobs.")]
TypeOption = Annotated[list[str] | None, _any_of("--type", "Only jobs of this type.")]
OutcomeOption = Annotated[
    list[str] | None, _any_of("--outcome", "Only deliveries that ended so: succeeded, failed, released…")
]
EventOption = Annotated[
    list[str] | None, _any_of("--event", "Only lines of this event; 'job.*' for all that begin so.")
]
LevelOption = Annotated[
    Level | None, typer.Option("--level", show_default=False, help="Only lines of this level or above.")
]
SlowOption = Annotated[
    timedelta | None,
    typer.Option(
        "--slow",
        parser=to_duration,
        metavar="DURATION",
        show_default=False,
        help="Only deliveries that took at least 500ms, 2s, 1m…",
    ),
]
SinceOption = Annotated[
    datetime | None,
    typer.Option(
        "--since", parser=to_moment, metavar="MOMENT", show_default=False, help=f"Only lines since: {MOMENT}."
    ),
]
UntilOption = Annotated[
    datetime | None,
    typer.Option("--until", parser=to_moment, metavar="MOMENT", show_default=False, help="Only lines until."),
]
FollowOption = Annotated[
    bool,
    typer.Option(
        "--follow", "-f", help="Show the files' last ten lines, or all --since, and what comes, until Ctrl-C."
    ),
]
FullOption = Annotated[bool, typer.Option("--full", help="Show every field, also what is as usual.")]
SummaryOption = Annotated[
    bool, typer.Option("--summary/--no-summary", help="Sum up what was shown, at the end.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show the summary only.")]
RawOption = Annotated[
    bool, typer.Option("--json", help="Print the lines that fit as they came, for programs; no summary.")
]
