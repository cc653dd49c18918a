"""`shardworker failed retry`: the deliberate way back from the failure queue."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Annotated, BinaryIO, Final

import typer

from worker.cli.common import ConfigOption, JsonOption, confirm, open_queue, open_settings, open_store
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
from worker.cli.failed_report import Report
from worker.cli.failed_retrier import Retrier, Targets
from worker.clock import Clock
from worker.letters import Letters
from worker.objects import ObjectStore

BATCH: Final = 10
INSTANCE: Final = "shardworker failed retry"


def retry_failed(  # noqa: PLR0913 - each is an option of the command
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
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="QUEUE",
            show_default=False,
            help="To this request queue, wherever they came from.",
        ),
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.1, show_default=False, help="At most so many in a second.")
    ] = None,
    too_old: Annotated[
        bool, typer.Option("--too-old", help="Those too that are older than the inbox is kept: see above.")
    ] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send failed messages again, to the queue that each came from.

    Mirrors `messenger:failed:retry`.

    What was answered is sent with its next run: its failed parts run again, those that succeeded do not, and
    there is a new answer. What was not answered is sent as it came. A message leaves the failure queue only
    after its copy was accepted; retrying it twice does no more than once.

    A job that is older than inbox rows are kept is left where it is: whether parts of it ran can no longer be
    told, and those that did would run again. Look at the customers' data before you use --too-old.

    While the command runs, it hides the messages that it has looked at from others. Those that it leaves are
    back at its end, or two minutes after it was killed.
    """
    settings = open_settings(config).settings
    clock, report = Clock(), Report(as_json=as_json)
    origin, class_name = origin_filter(settings, transport), class_filter(class_name)
    filters = Filters(code, job_type, partner, reason, since, until, origin, class_name)
    choice = replace(chosen(ids, filters, maximum, every=every), not_retried_since=clock.now())
    with ExitStack() as stack:
        queue = stack.enter_context(open_queue(settings.queues.failure, settings))
        if every and not dry_run:
            confirm(f"Send again all that fit, of about {queue.depth().waiting} messages?", yes=yes)
        store = stack.enter_context(open_store(settings))
        targets = stack.enter_context(closing(Targets(settings, to)))
        written = _Untouched(store) if dry_run else store
        letters = Letters(written, settings.queues.claim_check_bucket, INSTANCE, clock)
        retrier = Retrier(settings, letters, targets, too_old=too_old, dry_run=dry_run)
        taking = stack.enter_context(Taking(queue, clock))
        search = Search(settings, taking, choice)
        for batch in paced(search, taking, rate):
            report.add(retrier.retry(batch, taking))
    report.close(search)


def paced(search: Search, taking: Taking, rate: float | None) -> Iterator[list[FailedMessage]]:
    """The batches of the search, no faster than `rate` messages a second."""
    wait_seconds = 0.0
    for batch in search.batches(BATCH if rate is None else max(1, min(BATCH, int(rate)))):
        taking.pause(wait_seconds)
        yield batch
        wait_seconds = 0.0 if rate is None else len(batch) / rate


class _Untouched:
    """An object store that is read and never written."""

    def __init__(self, store: ObjectStore) -> None:
        self.open = store.open
        self.check = store.check
        self.close = store.close

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Write nothing."""

    def put_file(self, bucket: str, key: str, file: BinaryIO) -> None:
        """Write nothing."""
