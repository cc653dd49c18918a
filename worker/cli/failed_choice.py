"""Which failed messages are meant: ids or filters, as options that the commands share."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from config.measures import parse_duration
from worker.cli.failed_messages import FailedMessage

MOMENT: Final = "a moment such as 2026-11-21T10:00:00Z, or how long ago, such as 2h"


def to_moment(text: str) -> datetime:
    """A moment option's value: RFC 3339, in UTC without a zone, or a duration before now."""
    try:
        ago = parse_duration(text)
    except ValueError:
        return _to_time_of_day(text)
    return datetime.now(UTC) - ago


def _to_time_of_day(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"expected {MOMENT}, found {text!r}") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


IdsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]...", show_default=False, help="The ids in the list, whole."),
]
AllOption = Annotated[
    bool, typer.Option("--all", help="In place of ids: every message that fits the filters.")
]
CodeOption = Annotated[
    str | None, typer.Option("--code", show_default=False, help="Only those of this error code.")
]
TypeOption = Annotated[str | None, typer.Option("--type", show_default=False, help="Only jobs of this type.")]
PartnerOption = Annotated[
    str | None, typer.Option("--partner", show_default=False, help="Only this partner's jobs.")
]
ReasonOption = Annotated[
    str | None,
    typer.Option("--reason", metavar="TEXT", show_default=False, help="Only with this text in the reason."),
]
SinceOption = Annotated[
    datetime | None,
    typer.Option(
        "--since",
        parser=to_moment,
        metavar="MOMENT",
        show_default=False,
        help=f"Only failed since: {MOMENT}.",
    ),
]
UntilOption = Annotated[
    datetime | None,
    typer.Option(
        "--until", parser=to_moment, metavar="MOMENT", show_default=False, help="Only failed until."
    ),
]
MostOption = Annotated[
    int | None, typer.Option("--max", min=1, show_default=False, help="At most so many messages.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before --all.")]


@dataclass(frozen=True, slots=True)
class Filters:
    """What the filters ask for; None asks for nothing. All of them have to fit."""

    code: str | None = None
    job_type: str | None = None
    partner_id: str | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def fit(self, message: FailedMessage) -> bool:
        """Whether the message is meant."""
        wanted = (
            (self.code, message.header.code),
            (self.job_type, message.job_type),
            (self.partner_id, message.partner_id),
        )
        return (
            all(asked is None or asked == found for asked, found in wanted)
            and (self.reason is None or self.reason.casefold() in (message.header.reason or "").casefold())
            and (self.since is None or self.since <= message.failed_at)
            and (self.until is None or message.failed_at <= self.until)
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """The messages that are meant: these ids, or all; of them what fits the filters, at most `maximum`.

    What was retried at or after `not_retried_since` is left: a command must not meet its own work again.
    """

    ids: Collection[str]
    filters: Filters
    maximum: int | None = None
    not_retried_since: datetime | None = None

    def takes(self, message: FailedMessage) -> bool:
        """Whether the message is meant."""
        named = not self.ids or message.message_id in self.ids
        return named and self.filters.fit(message) and not self._is_own_work(message)

    def _is_own_work(self, message: FailedMessage) -> bool:
        since, retried_at = self.not_retried_since, message.header.retried_at
        return since is not None and retried_at is not None and retried_at >= since


def chosen(ids: list[str] | None, filters: Filters, maximum: int | None, *, every: bool) -> Choice:
    """The choice that the options make; a usage error where ids and --all are both given, or neither is."""
    if bool(ids) is every:
        raise typer.BadParameter("Give the ids of messages, or --all, with filters or without.")
    return Choice(frozenset(ids or ()), filters, maximum)
