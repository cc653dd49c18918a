"""Failed messages on the screen: each one whole, or all of them counted."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from config.headers import OWN_ATTRIBUTE
from config.settings import Settings
from worker.cli.common import open_queue
from worker.cli.errors import CommandError
from worker.cli.failed_choice import Choice, Filters, class_of
from worker.cli.failed_messages import FailedMessage
from worker.cli.failed_queue import SEARCHED_MAXIMUM, Search, Taking
from worker.cli.output import moment_text, print_json, print_line, print_table
from worker.clock import Clock

COUNTED: Final = ("class", "type", "code")


def print_messages(messages: Iterable[FailedMessage], *, as_json: bool) -> None:
    """Print each message whole, with its headers and its original body."""
    for message in messages:
        if as_json:
            print_json({**message.summary(), "headers": message.headers, "body": message.body})
        else:
            _print_message(message)


def _print_message(message: FailedMessage) -> None:
    details = message.summary()
    times = {name: moment_text(details[name]) for name in ("first_sent_at", "failed_at")}
    shown = {**details, **times, "instance": message.header.instance}
    others = {f"header {name}": value for name, value in message.headers.items() if name != OWN_ATTRIBUTE}
    print_table(("field", "value"), [*shown.items(), *others.items()])
    print_line(message.body)


def print_stats(settings: Settings, filters: Filters, *, as_json: bool) -> None:
    """Print how many messages fit, by Symfony's class, job type and error code; the most first.

    Raises `CommandError`, after what was counted, if the queue is too long to be looked at in one go.
    """
    with open_queue(settings.queues.failure, settings) as queue, Taking(queue, Clock()) as taking:
        search = Search(settings, taking, Choice(frozenset(), filters))
        counts = Counter(map(_kind, (message for batch in search.batches() for message in batch)))
        is_cut_short = search.is_cut_short
    rows = [(*kind, count) for kind, count in counts.most_common()]
    if as_json:
        for row in rows:
            print_json(dict(zip((*COUNTED, "count"), row, strict=True)))
    else:
        print_table((*COUNTED, "count"), rows)
    if is_cut_short:
        raise CommandError(f"The queue is long: only {SEARCHED_MAXIMUM} of its messages were counted.")


def _kind(message: FailedMessage) -> tuple[str | None, ...]:
    return class_of(message), message.job_type, message.header.code
