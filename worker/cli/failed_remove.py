"""`shardworker failed remove`: failed messages deleted for good."""

from contextlib import ExitStack
from typing import Annotated

import typer

from worker.cli.common import ConfigOption, JsonOption, confirm, open_queue, open_settings
from worker.cli.failed_choice import (
    AllOption,
    ClassOption,
    CodeOption,
    DryRunOption,
    Filters,
    IdsArgument,
    MostOption,
    PartnerOption,
    ReasonOption,
    SinceOption,
    TransportOption,
    TypeOption,
    UntilOption,
    YesOption,
    chosen,
    class_filter,
    origin_filter,
)
from worker.cli.failed_messages import FailedMessage
from worker.cli.failed_queue import Search, Taking
from worker.cli.failed_report import Line, Report
from worker.cli.failed_shown import print_messages
from worker.clock import Clock


def remove_failed(  # noqa: PLR0913 - each is an option of the command
    ids: IdsArgument = None,
    *,
    every: AllOption = False,
    code: CodeOption = None,
    job_type: TypeOption = None,
    partner: PartnerOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    transport: TransportOption = None,
    class_name: ClassOption = None,
    maximum: MostOption = None,
    show_messages: Annotated[
        bool, typer.Option("--show-messages", help="Print each message whole before it is deleted.")
    ] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete failed messages for good. Nothing else keeps them: `failed export` them first.

    Mirrors `messenger:failed:remove`.

    While the command runs, it hides the messages that it has looked at from others. Those that it leaves are
    back at its end, or two minutes after it was killed.
    """
    settings = open_settings(config).settings
    origin, class_name = origin_filter(settings, transport), class_filter(class_name)
    filters = Filters(code, job_type, partner, reason, since, until, origin, class_name)
    choice = chosen(ids, filters, maximum, every=every)
    report = Report(as_json=as_json)
    with ExitStack() as stack:
        queue = stack.enter_context(open_queue(settings.queues.failure, settings))
        if every and not dry_run:
            confirm(f"Delete all that fit, of about {queue.depth().waiting} messages, for good?", yes=yes)
        taking = stack.enter_context(Taking(queue, Clock()))
        search = Search(settings, taking, choice)
        for batch in search.batches():
            if show_messages:
                print_messages(batch, as_json=as_json)
            report.add(
                [Line(one, "would be removed") for one in batch] if dry_run else _removed(taking, batch)
            )
    report.close(search)


def _removed(taking: Taking, batch: list[FailedMessage]) -> list[Line]:
    faults = taking.settle([message.delivery for message in batch])
    return [
        Line(message, "removed")
        if (fault := faults.get(position)) is None
        else Line(message, None, error=f"It was not removed: {fault.message}.")
        for position, message in enumerate(batch)
    ]
