"""Re-sends messages whose wait no release can carry: a copy waits in their place."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import structlog

from config.points import passed
from worker.clock import Clock
from worker.dry_runs import deaths_to_tell
from worker.held import Held, charge
from worker.letters import Letters, TooLarge
from worker.objects import ObjectError
from worker.transports.base import Fault, Faults, Message, Transport, TransportError
from worker.transports.limits import DELAY_MAXIMUM, RETENTION_USUAL
from worker.waits import WAIT_MAXIMUM, QueueFacts, due_at, must_resend

ASK_SECONDS: Final = 60.0

AGING: Final = (
    "It has waited for {days:.1f} days of the {kept:.0f} that its queue keeps it, and its group with it: "
    "on a FIFO queue nothing is sent anew. Bring back what it waits for, set its customer to gone in the "
    "directory, or raise the queue's retention; see docs/queues.md, FIFO queues."
)

log = structlog.get_logger()


class QueueWatch:
    """What is known of the request queues; each is asked at most once a minute, its retention once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._facts: dict[Transport, QueueFacts] = {}
        self._next_ask: dict[Transport, float] = {}
        self._retention: dict[Transport, timedelta | None] = {}
        self._unknown: set[Transport] = set()

    def facts(self, queue: Transport) -> QueueFacts:
        """What the queue said last; where it does not answer, what is safe to assume."""
        now = self._clock.monotonic()
        if now >= self._next_ask.get(queue, now):
            self._facts[queue] = self._ask(queue)
            self._next_ask[queue] = self._clock.monotonic() + ASK_SECONDS
        return self._facts[queue]

    def _ask(self, queue: Transport) -> QueueFacts:
        in_flight = 0
        try:
            if queue not in self._retention:
                self._retention[queue] = queue.retention()
            in_flight = queue.depth().leased
            self._unknown.discard(queue)
        except TransportError as error:
            self._note_unknown(queue, error)
        return QueueFacts(self._retention.get(queue, RETENTION_USUAL), in_flight)

    def _note_unknown(self, queue: Transport, error: TransportError) -> None:
        if queue not in self._unknown:
            self._unknown.add(queue)
            log.warning("queue.unknown", queue=queue.name, error=str(error))


class Resender:
    """Sends messages that wait anew, as copies; used by one thread. What it cannot send is to be released."""

    def __init__(self, letters: Letters, clock: Clock) -> None:
        self._letters = letters
        self._clock = clock
        self._watch = QueueWatch(clock)

    def resend(self, source: Transport, waits: Mapping[Held, timedelta]) -> set[Held]:
        """Send anew what has to be; the deliveries whose copy the queue accepted, which are to be acked.

        On an ordered queue that is none, for a copy would come behind all that follows the original; but for
        a dry run that is suspected, which leaves nothing that those could depend on.
        """
        copies: dict[Held, Message] = {}
        for held, wait in waits.items():
            kept = min(wait, WAIT_MAXIMUM)
            copy = self._copy(source, held, kept) if self._must_resend(source, held, kept) else None
            if copy is not None:
                copies[held] = copy
            elif source.is_ordered:
                self._note_age(source, held, wait)
        charge(copies.keys())
        faults = _send(source, list(copies.values()))
        resent = {held for position, held in enumerate(copies) if position not in faults}
        for _ in resent:
            passed("after_resend")
        return resent

    def _must_resend(self, source: Transport, held: Held, wait: timedelta) -> bool:
        if deaths_to_tell(held) is not None:
            return True  # a release would be counted as one more
        if source.is_ordered or wait <= timedelta():
            return False  # the queue is not asked for what is given back at once
        age = self._clock.now() - held.delivery.sent_at
        return must_resend(wait, age, held_for(held, self._clock), self._watch.facts(source))

    def _note_age(self, source: Transport, held: Held, wait: timedelta) -> None:
        """Tell of a message that its queue may forget while it waits, as no copy can take its place."""
        if wait <= timedelta():
            return
        age, retention = self._clock.now() - held.delivery.sent_at, self._watch.facts(source).retention
        if retention is None or age <= retention / 2:
            return
        log.error(
            "queue.aging",
            queue=source.name,
            message_id=held.delivery.message_id,
            receive_count=held.delivery.receive_count,
            msg=AGING.format(days=age / timedelta(days=1), kept=retention / timedelta(days=1)),
        )

    def _copy(self, source: Transport, held: Held, wait: timedelta) -> Message | None:
        # a FIFO queue takes no message with a delay of its own: the copy says itself when it is due
        delay = timedelta() if source.is_ordered else min(wait, DELAY_MAXIMUM)
        not_before = due_at(wait, self._clock.now(), delay)
        try:
            return self._letters.copy(source, held.delivery, not_before, delay, deaths_to_tell(held))
        except (TooLarge, ObjectError) as error:
            log.error("settle.failed", queue=source.name, error_code=type(error).__name__, msg=str(error))
            return None


def held_for(held: Held, clock: Clock) -> timedelta:
    """The time since the delivery was received."""
    return timedelta(seconds=clock.monotonic() - held.started_at)


def _send(source: Transport, copies: list[Message]) -> Faults:
    try:
        faults = source.send(copies) if copies else {}
    except TransportError as error:
        log.warning("settle.failed", queue=source.name, count=len(copies), error=str(error))
        return dict.fromkeys(range(len(copies)), Fault("unavailable", str(error)))
    for fault in faults.values():
        log.warning("settle.failed", queue=source.name, error_code=fault.code, msg=fault.message)
    return faults
