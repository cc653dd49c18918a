"""What this process holds of a queue on RabbitMQ: what was pushed to it, and until when it may keep it."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

from kombu.connection import Connection
from kombu.entity import Queue as KombuQueue
from kombu.message import Message as KombuMessage
from kombu.messaging import Consumer as Subscription

from worker.transports.amqp_arrivals import arrival_of
from worker.transports.amqp_holds import Hold
from worker.transports.amqp_link import LOOK_SECONDS, Link
from worker.transports.base import Delivery, TransportError
from worker.transports.kombu_wire import delivery_from

CONSUMER_TIMEOUT: Final = timedelta(minutes=30)
"""How long RabbitMQ lets a message be held before it ends the channel, unless it is told otherwise."""

HOLD_SHARE: Final = 14 / 15
UNASKED_SECONDS: Final = 60.0
"""After so long without a receive, others get what waits here. Not sooner: each time counts as a receive."""
ACKED_REMEMBERED: Final = 10_000


class Consumer:
    """Takes what RabbitMQ pushes, at most `prefetch` unacked at once, and keeps leases on what is in hand.

    RabbitMQ knows no leases: what a process holds is its own until the connection ends. So a lease that runs
    out is kept here, by giving the message back. A receipt names the connection that brought the message: of
    one that has ended, the broker has taken everything back, and its receipts are lost.
    """

    def __init__(
        self,
        queue_name: str,
        connect: Callable[[Callable[[bool], None]], Connection],
        prefetch: int,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
        consumer_timeout: timedelta = CONSUMER_TIMEOUT,
    ) -> None:
        self._queue_name = queue_name
        self._prefetch = prefetch
        self._clock = clock
        self._monotonic = monotonic
        self._hold_seconds = consumer_timeout.total_seconds() * HOLD_SHARE
        self._link = Link(queue_name, "consume", connect, self._tend, self._note_broken)
        self._changed = threading.Condition()
        self._arrived: deque[tuple[int, Delivery]] = deque()
        self._holds: dict[int, Hold] = {}
        self._acked: deque[int] = deque(maxlen=ACKED_REMEMBERED)
        self._epoch = ""
        self._channel: Any = None
        self._subscription: Subscription | None = None
        self._failure: TransportError | None = None
        self._breaks = 0
        self._next_look = 0.0
        self._receiving = 0
        self._asked_at = 0.0
        self._interrupted = False

    def receive(self, maximum: int, wait_seconds: float, lease_seconds: float) -> list[Delivery]:
        """Up to `maximum` messages under a lease, the first within the wait; raises `TransportError`."""
        with self._changed:
            self._receiving += 1
            breaks = self._breaks
        try:
            if not self._arrived and not self._interrupted:
                self._link.call(self._look if wait_seconds <= 0 else self._subscribe)
            self._wait(wait_seconds, breaks)
            return self._take(maximum, lease_seconds)
        finally:
            with self._changed:
                self._receiving -= 1
                self._asked_at = self._monotonic()

    def ack(self, receipts: Iterable[str]) -> list[bool]:
        """Ack each; whether it is acked now, or was already. False: the broker has it back."""
        return self._settle(receipts, self._ack)

    def give_back(self, receipts: Iterable[str]) -> list[bool]:
        """Let each be received again at once; False where it was lost before."""
        return self._settle(receipts, self._reject)

    def extend(self, receipts: Iterable[str], lease_seconds: float) -> list[bool]:
        """Hold each for so long from now; False where it was lost before."""
        with self._changed:
            now = self._monotonic()
            kept = [self._held(receipt, now) for receipt in receipts]
            for hold in kept:
                if hold is not None:
                    hold.expires_at = now + lease_seconds
        self._note_lease(lease_seconds)
        return [hold is not None for hold in kept]

    def holds(self, receipt: str) -> bool:
        """Whether the message is still ours."""
        with self._changed:
            return self._held(receipt, self._monotonic()) is not None

    def counts(self) -> tuple[int, int]:
        """How many messages have arrived and were not received yet, and how many are in hand."""
        with self._changed:
            return len(self._arrived), len(self._holds) - len(self._arrived)

    def interrupt(self) -> None:
        """Let receives end with what is there, now and from now on; give back what nobody has received."""
        with self._changed:
            self._interrupted = True
            self._changed.notify_all()
            subscribed = self._subscription is not None
        if subscribed:
            with suppress(TransportError):
                self._link.post(lambda _connection: self._unsubscribe())

    def close(self) -> None:
        """End the connection: the broker takes back all that is held."""
        self.interrupt()
        self._link.close()
        self._note_broken(TransportError(f"queue {self._queue_name}: it was closed, nothing was done"))

    def _wait(self, wait_seconds: float, breaks: int) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._arrived or self._interrupted or self._breaks != breaks, max(0.0, wait_seconds)
            )
            if self._breaks != breaks and not self._arrived and not self._interrupted:
                assert self._failure is not None  # noqa: S101 - each break brings its reason
                raise self._failure

    def _take(self, maximum: int, lease_seconds: float) -> list[Delivery]:
        with self._changed:
            if self._interrupted:
                return []
            until = self._monotonic() + lease_seconds
            taken = [self._arrived.popleft() for _ in range(min(maximum, len(self._arrived)))]
            for tag, _ in taken:
                self._holds[tag].expires_at = until
        self._note_lease(lease_seconds)
        return [delivery for _, delivery in taken]

    def _note_lease(self, lease_seconds: float) -> None:
        if lease_seconds < LOOK_SECONDS:
            self._next_look = 0.0
            self._link.wake()

    def _settle(self, receipts: Iterable[str], settle: Callable[[int], bool]) -> list[bool]:
        """Done on the link's thread, for the connection is no other's; nothing is, if it has ended."""
        asked = list(receipts)
        with self._changed:
            if not self._epoch or not any(receipt.startswith(self._epoch) for receipt in asked):
                return [False] * len(asked)
        return self._link.call(lambda _connection: [self._settle_one(receipt, settle) for receipt in asked])

    def _settle_one(self, receipt: str, settle: Callable[[int], bool]) -> bool:
        tag = self._tag(receipt)
        return tag is not None and settle(tag)

    def _ack(self, tag: int) -> bool:
        with self._changed:
            hold = self._holds.pop(tag, None)
            if hold is None:
                return tag in self._acked
            self._acked.append(tag)
        self._channel.basic_ack(tag)
        return True

    def _reject(self, tag: int) -> bool:
        with self._changed:
            hold = self._holds.get(tag)
            if hold is None or hold.is_over(self._monotonic()):
                return False
            del self._holds[tag]
        # Rejected, not nacked: RabbitMQ 4.3 counts the one as a receive, and not the other.
        self._channel.basic_reject(tag, requeue=True)
        return True

    def _held(self, receipt: str, now: float) -> Hold | None:
        tag = self._tag(receipt)
        hold = None if tag is None else self._holds.get(tag)
        return None if hold is None or hold.is_over(now) else hold

    def _tag(self, receipt: str) -> int | None:
        epoch, _, tag = receipt.partition(".")
        return int(tag) if epoch == self._epoch and tag.isdecimal() else None

    def _tend(self) -> float:
        """Give back what was held too long, and what nobody asks for; when to look at that again."""
        now = self._monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._give_back_over()
            with self._changed:
                ends = [hold.expires_at for hold in self._holds.values() if hold.expires_at is not None]
                self._next_look = min(self._next_look, min(ends, default=self._next_look))
                unasked = not self._receiving and self._asked_at + UNASKED_SECONDS <= now
            if unasked:
                self._unsubscribe()
        return self._next_look - now

    def _give_back_over(self) -> None:
        with self._changed:
            now = self._monotonic()
            over = [tag for tag, hold in self._holds.items() if hold.is_over(now)]
            for tag in over:
                del self._holds[tag]
            if over:
                self._arrived = deque(entry for entry in self._arrived if entry[0] in self._holds)
        for tag in over:
            self._channel.basic_reject(tag, requeue=True)

    def _subscribe(self, connection: Connection) -> None:
        if self._subscription is None and not self._interrupted:
            self._begin(connection)

    def _begin(self, connection: Connection) -> None:
        if self._channel is None:
            self._channel = connection.channel()
            with self._changed:
                self._epoch = uuid4().hex[:12]
        queue = KombuQueue(self._queue_name, no_declare=True)
        subscription = Subscription(
            self._channel,
            [queue],
            on_message=self._note_arrival,
            on_decode_error=lambda message, _error: self._note_arrival(message),  # not compressed as told
            auto_declare=False,
        )
        subscription.qos(prefetch_count=self._prefetch)
        subscription.consume()
        self._subscription = subscription
        if self._interrupted:  # meanwhile, by one who found no subscription to end
            self._unsubscribe()

    def _look(self, connection: Connection) -> None:
        """Let what is there now arrive: an answer comes after all that was pushed before it.

        A get goes the way of what was given back or published a moment ago, and so is answered after that.
        """
        self._give_back_over()
        self._subscribe(connection)
        self._let_arrive()
        if self._channel is not None and not self._arrived and len(self._holds) < self._prefetch:
            message = self._channel.basic_get(self._queue_name)
            if message is not None:
                self._note_arrival(self._channel.message_to_python(message))
            self._let_arrive()

    def _let_arrive(self) -> None:
        if self._channel is not None:
            self._channel.queue_declare(self._queue_name, passive=True)

    def _unsubscribe(self) -> None:
        """Let nothing more arrive, and give back what nobody has received."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.cancel()
        with self._changed:
            if self._receiving and not self._interrupted:
                return  # somebody has asked meanwhile
            unreceived = [tag for tag, _ in self._arrived]
            self._arrived.clear()
            for tag in unreceived:
                del self._holds[tag]
        for tag in unreceived:
            self._channel.basic_reject(tag, requeue=True)

    def _note_arrival(self, message: KombuMessage) -> None:
        tag = message.delivery_tag
        arrival = arrival_of(message, f"{self._epoch}.{tag}", self._clock())
        delivery = delivery_from(message.body, message.headers, arrival)
        with self._changed:
            self._holds[tag] = Hold(self._monotonic() + self._hold_seconds)
            self._arrived.append((tag, delivery))
            self._changed.notify_all()

    def _note_broken(self, error: TransportError) -> None:
        with self._changed:
            self._failure = error
            self._breaks += 1
            self._epoch = ""
            self._channel = self._subscription = None
            self._holds.clear()
            self._arrived.clear()
            self._acked.clear()
            self._changed.notify_all()
