"""`shardworker results`: what stands on the response queue."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Any, Final

import msgspec
import typer
from msgspec import UNSET

from config.headers import UNREADABLE
from config.job import BadMessage
from config.result import CustomerResult, Result, decode_result
from config.settings import Settings
from worker.cli.bodies import fields_of, full_body
from worker.cli.common import ConfigOption, JsonOption, MaximumOption, open_queue, open_settings
from worker.cli.errors import CommandError
from worker.cli.output import moment_text, print_json, print_line, print_table
from worker.symfony.writing import rename_fields
from worker.transports.base import Delivery, Transport

TAKE_LEASE: Final = timedelta(minutes=1)
BATCH: Final = 10
PAUSE_SECONDS: Final = 1.0
COLUMNS: Final = ("job", "run", "status", "partner", "type", "succeeded", "errors", "finished")


def results(
    *,
    config: ConfigOption = None,
    take: Annotated[
        bool,
        typer.Option("--take", help="Take them off the queue once shown: the front door will miss them."),
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on showing what comes, until Ctrl-C.")
    ] = False,
    maximum: MaximumOption = 100,
    as_json: JsonOption = False,
) -> None:
    """Show the results on the response queue. They stay there, unless --take is given.

    With --json each result is a line, as it stands in its message. Looking at an SQS queue hides its
    messages for a moment and counts as a receive.
    """
    settings = open_settings(config).settings
    with open_queue(settings.queues.response, settings) as queue:
        batches = _batches(queue, maximum, take=take, follow=follow)
        # Ctrl-C is how following ends, not an error.
        with suppress(KeyboardInterrupt):
            for batch in batches:
                _show(settings, batch, as_json=as_json, as_lines=follow)


def followed(queue: Transport, maximum: int, pause: Callable[[float], None]) -> Iterator[list[Delivery]]:
    """What is new on the queue at each look, without end; `pause` waits the given seconds between two.

    A look that was full is followed by a longer one: what lies there already hides nothing for ever.
    """
    seen: set[str] = set()
    limit = maximum
    while True:
        looked_at = queue.browse(limit)
        found = [delivery for delivery in looked_at if delivery.message_id not in seen]
        seen.update(delivery.message_id for delivery in found)
        if found:
            yield found
        if len(looked_at) == limit:
            limit += maximum
        else:
            pause(PAUSE_SECONDS)


def taken_as_they_come(queue: Transport) -> Iterator[list[Delivery]]:
    """What comes, without end; a batch is taken off the queue when the next one is asked for."""
    while True:
        received = queue.receive(BATCH, queue.wait_maximum, TAKE_LEASE)
        yield received
        _ack(queue, received)


def taken_at_once(queue: Transport, maximum: int) -> Iterator[list[Delivery]]:
    """What is there, up to `maximum`, as one batch; taken off the queue once it has been shown."""
    taken: list[Delivery] = []
    while len(taken) < maximum:
        received = queue.receive(min(BATCH, maximum - len(taken)), timedelta(), TAKE_LEASE)
        if not received:
            break
        taken += received
    yield taken
    _ack(queue, taken)


def _batches(queue: Transport, maximum: int, *, take: bool, follow: bool) -> Iterator[list[Delivery]]:
    if take:
        return taken_as_they_come(queue) if follow else taken_at_once(queue, maximum)
    return followed(queue, maximum, time.sleep) if follow else iter([queue.browse(maximum)])


def _ack(queue: Transport, shown: list[Delivery]) -> None:
    faults = queue.ack(shown)
    if faults:
        first = next(iter(faults.values()))
        raise CommandError(
            f"{len(faults)} of the results stay on {queue.name} and will come again: {first.message}"
        )


def _show(settings: Settings, batch: Sequence[Delivery], *, as_json: bool, as_lines: bool) -> None:
    bodies = [full_body(settings, delivery.body) for delivery in batch]
    if as_json:
        for body in bodies:
            print_json(fields_of(body) or {"unreadable": body})
        return
    names = {theirs: ours for ours, theirs in settings.symfony.result_fields.items()}
    rows = [_row(body, names) for body in bodies]
    if as_lines:
        for row in rows:
            print_line("  ".join(str(cell) for cell in row if cell is not None))
    elif rows:
        print_table(COLUMNS, rows)
    else:
        print_line("The response queue holds no result that can be seen now.")


def _row(body: str, names: Mapping[str, str]) -> tuple[Any, ...]:
    """A result for people; `names` are ours by those that its fields have for Symfony."""
    try:
        result = decode_result(rename_fields(body, names) if names else body)
    except (BadMessage, *UNREADABLE):
        return "?", None, "unreadable", None, None, None, "The message is no result of this worker."
    return (
        result.job_id,
        result.run,
        f"{result.status} (dry run)" if result.dry_run else result.status,
        result.partner_id,
        result.type,
        _share(result),
        _waiting(result) or ", ".join(_error_codes(result)) or None,
        moment_text(result.finished_at),
    )


def _share(result: Result) -> str:
    """How many of the customers: of a final result that succeeded, of a running job that are done."""
    if result.progress is not UNSET:
        return f"{result.progress.done}/{result.progress.total}"
    done = sum(customer.status == "succeeded" for customer in result.customers)
    return f"{done}/{len(result.customers)}"


def _waiting(result: Result) -> str | None:
    if result.waiting is UNSET or not result.waiting:
        return None
    others = len(result.waiting) - 1
    return f"{result.waiting[0]}{f' and {others} more wait' if others else ' waits'} for a shard that is away"


def _error_codes(result: Result) -> list[str]:
    holders: list[Result | CustomerResult] = [result, *result.customers]
    errors = [holder.error for holder in holders]
    return sorted({error.code for error in errors if not isinstance(error, msgspec.UnsetType)})
