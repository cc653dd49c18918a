"""`shardworker failed`: its commands, and the messages that could not be handled, listed and shown."""

from itertools import islice
from typing import Annotated, Any, Final

import typer

from worker.cli.common import ConfigOption, JsonOption, MaximumOption, open_settings
from worker.cli.errors import CommandError
from worker.cli.failed_choice import (
    ClassOption,
    CodeOption,
    Filters,
    PartnerOption,
    ReasonOption,
    SinceOption,
    TransportOption,
    TypeOption,
    UntilOption,
    class_filter,
    origin_filter,
)
from worker.cli.failed_export import export_failed
from worker.cli.failed_messages import FailedMessage, failed_messages
from worker.cli.failed_remove import remove_failed
from worker.cli.failed_retry import retry_failed
from worker.cli.failed_shown import print_messages, print_stats
from worker.cli.output import moment_text, print_json, print_line, print_table

SEARCHED_MAXIMUM: Final = 1000
COLUMNS: Final = ("id", "job", "partner", "type", "code", "reason", "attempt", "failed at", "origin")


def build_app() -> typer.Typer:
    """The group of commands `failed`."""
    app = typer.Typer(
        help="Look at the messages that could not be handled. Mirrors `messenger:failed:*`.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    app.command("list")(list_failed)
    app.command("show")(show_failed)
    app.command("retry")(retry_failed)
    app.command("remove")(remove_failed)
    app.command("export")(export_failed)
    return app


def list_failed(  # noqa: PLR0913 - each is an option of the command
    *,
    code: CodeOption = None,
    job_type: TypeOption = None,
    partner: PartnerOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    transport: TransportOption = None,
    class_name: ClassOption = None,
    maximum: MaximumOption = 50,
    stats: Annotated[
        bool, typer.Option("--stats", help="Count them all, by class, job type and error code.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the failure queue: what failed, why and when.

    Mirrors `messenger:failed:show`.

    The messages stay where they are. With --json each one is a line. With a filter, up to 1000 messages are
    looked at; with --stats all, and what is looked at is hidden from others meanwhile.
    """
    settings = open_settings(config).settings
    origin, class_name = origin_filter(settings, transport), class_filter(class_name)
    filters = Filters(code, job_type, partner, reason, since, until, origin, class_name)
    if stats:
        print_stats(settings, filters, as_json=as_json)
        return
    looked_at = maximum if filters == Filters() else max(maximum, SEARCHED_MAXIMUM)
    seen = list(failed_messages(settings, looked_at))
    found = list(islice(filter(filters.fit, seen), maximum))
    if as_json:
        for message in found:
            print_json(message.summary())
    elif found:
        print_table(COLUMNS, [_row(message) for message in found])
        print_line("One, whole: shardworker failed show ID. Again, when mended: shardworker failed retry ID")
    elif seen:
        print_line(f"None of the {len(seen)} messages that were looked at fits the filters.")
    else:
        print_line("The failure queue holds no message that can be seen now.")


def show_failed(
    message_id: Annotated[str, typer.Argument(metavar="ID", help="The id in the list, or how it begins.")],
    *,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one failed message with its headers and its original body.

    Mirrors `messenger:failed:show ID`.
    """
    settings = open_settings(config).settings
    message = _one(list(failed_messages(settings, SEARCHED_MAXIMUM)), message_id)
    print_messages([message], as_json=as_json)


def _row(message: FailedMessage) -> tuple[Any, ...]:
    header = message.header
    return (
        message.message_id,
        message.job_id,
        message.partner_id,
        message.job_type,
        header.code,
        header.reason,
        header.attempt,
        moment_text(message.failed_at),
        header.origin,
    )


def _one(messages: list[FailedMessage], message_id: str) -> FailedMessage:
    found = [message for message in messages if message.message_id.startswith(message_id)]
    exact = [message for message in found if message.message_id == message_id]
    if not found:
        raise CommandError(
            f"No message {message_id!r} can be seen on the failure queue. See `shardworker failed list`."
        )
    if len(found) > 1 and not exact:
        raise CommandError(f"{len(found)} messages begin with {message_id!r}: give more of the id.")
    return (exact or found)[0]
