"""Which failed messages are meant: ids or filters, as options that the commands share."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from config.headers import TYPE_HEADER, read_headers
from config.measures import parse_duration
from config.settings import Settings
from worker.cli.failed_messages import FailedMessage
from worker.envelope import CLOCK_SKEW_MAXIMUM
from worker.transports.addresses import read_address

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
TransportOption = Annotated[
    str | None,
    typer.Option(
        "--transport",
        metavar="QUEUE",
        show_default=False,
        help="Only those that came from this request queue; all, if it is the failure queue's name.",
    ),
]
ClassOption = Annotated[
    str | None,
    typer.Option(
        "--class-filter",
        metavar="CLASS",
        show_default=False,
        help="Only Symfony's messages of this class, which the header `type` names whole.",
    ),
]
MostOption = Annotated[
    int | None, typer.Option("--max", min=1, show_default=False, help="At most so many messages.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", "--force", help="Do not ask before --all.")]


@dataclass(frozen=True, slots=True)
class Filters:
    """What the filters ask for; None asks for nothing. All of them have to fit."""

    code: str | None = None
    job_type: str | None = None
    partner_id: str | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    origin: str | None = None
    class_name: str | None = None

    def fit(self, message: FailedMessage) -> bool:
        """Whether the message is meant."""
        wanted = (
            (self.code, message.header.code),
            (self.job_type, message.job_type),
            (self.partner_id, message.partner_id),
            (self.origin, message.header.origin),
            (self.class_name, class_of(message)),
        )
        return (
            all(asked is None or asked == found for asked, found in wanted)
            and (self.reason is None or self.reason.casefold() in (message.header.reason or "").casefold())
            and (self.since is None or self.since <= message.failed_at)
            and (self.until is None or message.failed_at <= self.until)
        )


def class_of(message: FailedMessage) -> str | None:
    """The class that Symfony's header names; None where there is none."""
    return read_headers(message.headers).get(TYPE_HEADER)


def origin_filter(settings: Settings, transport: str | None) -> str | None:
    """The origin that `--transport` asks for; the one failure queue's own name asks for nothing."""
    return None if transport == read_address(settings.queues.failure).queue_name else transport


def class_filter(text: str | None) -> str | None:
    """The class that `--class-filter` asks for, as headers name it."""
    return None if text is None else text.removeprefix("\\")


@dataclass(frozen=True, slots=True)
class Choice:
    """The messages that are meant: these ids, or all; of them what fits the filters, at most `maximum`.

    What was retried at or after `not_retried_since` is left: a command must not meet its own work again.
    """

    ids: Collection[str]
    filters: Filters
    maximum: int | None = None
    not_retried_since: datetime | None = None

    def takes(self, message: FailedMessage, now: datetime) -> bool:
        """Whether the message is meant."""
        named = not self.ids or message.message_id in self.ids
        return named and self.filters.fit(message) and not self._is_own_work(message, now)

    def _is_own_work(self, message: FailedMessage, now: datetime) -> bool:
        since, retried_at = self.not_retried_since, message.header.retried_at
        # Who sends a message can write a time of the future, which would keep it from every retry.
        latest = now + CLOCK_SKEW_MAXIMUM
        return since is not None and retried_at is not None and since <= retried_at <= latest


def chosen(ids: list[str] | None, filters: Filters, maximum: int | None, *, every: bool) -> Choice:
    """The choice that the options make; a usage error where ids and --all are both given, or neither is."""
    if bool(ids) is every:
        raise typer.BadParameter("Give the ids of messages, or --all, with filters or without.")
    return Choice(frozenset(ids or ()), filters, maximum)
