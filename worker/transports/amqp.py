"""Queues on RabbitMQ: quorum queues, one connection that consumes and one that publishes."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

from amqp.exceptions import NotFound
from kombu.connection import Connection

from worker.transports.addresses import AmqpAddress
from worker.transports.amqp_arrivals import arrival_of
from worker.transports.amqp_connections import open_connection
from worker.transports.amqp_consumer import CONSUMER_TIMEOUT, Consumer
from worker.transports.amqp_publisher import Letter, Publisher
from worker.transports.amqp_queues import declare, delay_queue, exists, faults, waiting
from worker.transports.base import Delivery, Depth, Fault, Faults, Message, TransportError
from worker.transports.kombu_wire import Stamp, copy_of, delivery_from
from worker.transports.limits import (
    BATCH_COUNT_MAXIMUM,
    MESSAGE_BYTES_MAXIMUM,
    RELEASE_DELAY_MAXIMUM,
    WAIT_MAXIMUM,
    message_fault,
)

LOST = Fault("LeaseLost", "RabbitMQ has the message back; somebody else may hold it now", lost=True)


class AmqpTransport:
    """One queue on RabbitMQ; keeps the `Transport` protocol.

    At most `prefetch` messages are here at once, received or not. A lease is kept by this process, and ends
    at once with its connection. `password` is asked at each connect, and wins over one in the URL.
    """

    message_bytes_maximum = MESSAGE_BYTES_MAXIMUM
    wait_maximum = WAIT_MAXIMUM
    is_ordered = False

    def __init__(
        self,
        address: AmqpAddress,
        *,
        prefetch: int,
        password: Callable[[], str | None],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        consumer_timeout: timedelta = CONSUMER_TIMEOUT,
    ) -> None:
        self.name = address.queue_name
        self.hold_maximum = consumer_timeout
        self._clock = clock
        connect = partial(open_connection, address, password)
        self._publisher = Publisher(self.name, connect)
        self._consumer = Consumer(self.name, connect, prefetch, clock, monotonic, consumer_timeout)

    def receive(self, maximum: int, wait: timedelta, lease: timedelta) -> list[Delivery]:
        """As the protocol says; what was given back comes first, else in the order of arrival."""
        return self._consumer.receive(
            min(maximum, BATCH_COUNT_MAXIMUM),
            min(wait, WAIT_MAXIMUM).total_seconds(),
            lease.total_seconds(),
        )

    def ack(self, batch: Sequence[Delivery]) -> Faults:
        """As the protocol says. RabbitMQ does not confirm it: if it fails now, the message comes again."""
        return _lost(self._consumer.ack([delivery.receipt for delivery in batch]))

    def release(self, batch: Sequence[tuple[Delivery, timedelta]]) -> Faults:
        """As the protocol says; with a delay, a copy waits in its place, up to two thirds longer.

        Whoever dies between copy and ack leaves two, and so does a lease that ends there.
        """
        held = [self._consumer.holds(delivery.receipt) for delivery, _ in batch]
        later = [one for one, is_held in zip(batch, held, strict=True) if is_held and one[1] > timedelta()]
        if later:
            self._publisher.publish([_copied(delivery, delay) for delivery, delay in later])
            self._consumer.ack([delivery.receipt for delivery, _ in later])
        at_once = [position for position, (_, delay) in enumerate(batch) if delay <= timedelta()]
        back = self._consumer.give_back([batch[position][0].receipt for position in at_once])
        done = dict(zip(at_once, back, strict=True))
        return _lost([done.get(position, held[position]) for position in range(len(batch))])

    def extend(self, batch: Sequence[Delivery], lease: timedelta) -> Faults:
        """As the protocol says; what nears the consumer timeout is given back, and so is lost."""
        receipts = [delivery.receipt for delivery in batch]
        return _lost(self._consumer.extend(receipts, lease.total_seconds()))

    def send(self, batch: Sequence[Message]) -> Faults:
        """As the protocol says; a delay may last up to two thirds longer."""
        checked = [message_fault(message) for message in batch]
        now = datetime.fromtimestamp(self._clock(), UTC)
        letters = [
            Letter(message, Stamp(uuid4().hex, now), message.delay)
            for message, fault in zip(batch, checked, strict=True)
            if fault is None
        ]
        if letters:
            self._publisher.publish(letters)
        return {position: fault for position, fault in enumerate(checked) if fault is not None}

    def browse(self, maximum: int) -> list[Delivery]:
        """As the protocol says: taken and given back together, so their count may grow."""
        return self._publisher.link.call(partial(self._browse, maximum=maximum))

    def depth(self) -> Depth:
        """As the protocol says, as far as RabbitMQ tells.

        What other processes hold is not counted, nor what waits for a delay that this process never sent.
        """
        arrived, in_hand = self._consumer.counts()
        ready, delayed = self._publisher.link.call(self._count)
        return Depth(ready + arrived, in_hand, delayed)

    def retention(self) -> None:
        """For ever, as `create` makes it; a policy of the operator's is not seen from here."""

    def create(self) -> bool:
        """As the protocol says: a quorum queue; queues for delays are made when they are needed first."""
        return self._publisher.link.call(self._create)

    def check(self) -> list[str]:
        """As the protocol says: queue missing, its kind or arguments not as expected, the broker too old."""
        try:
            return self._publisher.link.call(self._faults)
        except TransportError as error:
            return [str(error)]

    def interrupt(self) -> None:
        """As the protocol says; what was not received yet is given back at once."""
        self._consumer.interrupt()

    def close(self) -> None:
        """As the protocol says; RabbitMQ takes back what is held."""
        self._consumer.close()
        self._publisher.link.close()

    def _browse(self, connection: Connection, maximum: int) -> list[Delivery]:
        seen: list[Delivery] = []
        tags: list[int] = []
        with connection.channel() as channel:
            channel_any: Any = channel
            while len(seen) < maximum:
                found = channel_any.basic_get(self.name)
                if found is None:
                    break
                message = channel_any.message_to_python(found)
                arrival = arrival_of(message, "", self._clock())
                seen.append(delivery_from(message.body, message.headers, arrival))
                tags.append(message.delivery_tag)
            for tag in tags:
                channel_any.basic_reject(tag, requeue=True)
        return seen

    def _count(self, connection: Connection) -> tuple[int, int]:
        ready = waiting(connection, self.name)
        return ready, sum(self._count_delayed(connection, level) for level in self._publisher.levels)

    def _count_delayed(self, connection: Connection, level: int) -> int:
        try:
            return waiting(connection, delay_queue(self.name, level))
        except NotFound:
            return 0

    def _create(self, connection: Connection) -> bool:
        if exists(connection, self.name):
            return False
        declare(connection, self.name)
        return True

    def _faults(self, connection: Connection) -> list[str]:
        waiting(connection, self.name)
        return faults(connection, self.name)


def _lost(done: Sequence[bool]) -> Faults:
    return {position: LOST for position, is_done in enumerate(done) if not is_done}


def _copied(delivery: Delivery, delay: timedelta) -> Letter:
    return Letter(*copy_of(delivery), min(delay, RELEASE_DELAY_MAXIMUM))
