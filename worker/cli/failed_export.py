"""`shardworker failed export`: failed messages as JSON lines, to keep or to work on."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from config.result import ascii_json
from worker.cli.common import ConfigOption, open_queue, open_settings
from worker.cli.errors import CommandError
from worker.cli.failed_choice import (
    Choice,
    ClassOption,
    CodeOption,
    Filters,
    IdsArgument,
    MostOption,
    PartnerOption,
    ReasonOption,
    SinceOption,
    TransportOption,
    TypeOption,
    UntilOption,
    class_filter,
    origin_filter,
)
from worker.cli.failed_messages import FailedMessage
from worker.cli.failed_queue import Search, Taking
from worker.cli.failed_report import Report
from worker.clock import Clock
from worker.folding import unfold
from worker.transports.attributes import to_texts


def export_failed(  # noqa: PLR0913 - each is an option of the command
    ids: IdsArgument = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", metavar="FILE", show_default=False, help="A new file, in place of standard output."
        ),
    ] = None,
    code: CodeOption = None,
    job_type: TypeOption = None,
    partner: PartnerOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    transport: TransportOption = None,
    class_name: ClassOption = None,
    maximum: MostOption = None,
    config: ConfigOption = None,
) -> None:
    """Write failed messages as JSON lines: body, attributes, reason and times. They stay on the queue.

    A body that is only referred to is fetched. The file holds partners' data: only you may read it.
    """
    settings = open_settings(config).settings
    origin, class_name = origin_filter(settings, transport), class_filter(class_name)
    filters = Filters(code, job_type, partner, reason, since, until, origin, class_name)
    choice = Choice(frozenset(ids or ()), filters, maximum)
    with ExitStack() as stack:
        output = stack.enter_context(_output(file))
        queue = stack.enter_context(open_queue(settings.queues.failure, settings))
        taking = stack.enter_context(Taking(queue, Clock()))
        search = Search(settings, taking, choice)
        for batch in search.batches():
            output.writelines(ascii_json(_fields(message)) + b"\n" for message in batch)
    Report(as_json=True).close(search)


@contextmanager
def _output(file: Path | None) -> Iterator[BinaryIO]:
    if file is None:
        yield typer.get_binary_stream("stdout")
        return
    try:
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as error:
        raise CommandError(f"{file} cannot be made: {error.strerror}.") from error
    with os.fdopen(descriptor, "wb") as output:
        yield output


def _fields(message: FailedMessage) -> dict[str, Any]:
    attributes = unfold(message.delivery.attributes, message.header)
    return {
        **message.summary(),
        "instance": message.header.instance,
        "sent_at": message.delivery.sent_at,
        "attributes": {name: to_texts(attribute) for name, attribute in attributes.items()},
        "attributes_key": message.header.attributes_key,
        "body": message.body,
    }
