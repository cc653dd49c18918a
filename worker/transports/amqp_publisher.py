"""Publishing on RabbitMQ: in batches, each message confirmed, and none to a queue that is not there."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from kombu.connection import Connection
from kombu.messaging import Producer

from worker.transports.amqp_link import Link
from worker.transports.amqp_queues import declare_delay, delay_queue, level_ms, waiting
from worker.transports.base import Message, QueueMissing, TransportError
from worker.transports.kombu_wire import Stamp, headers_of

CONTENT_TYPE: Final = "application/json"
PERSISTENT: Final = 2
CONFIRM_SECONDS: Final = 15.0
READ_SECONDS: Final = 1.0


class Letter(NamedTuple):
    """A message to publish, after a delay."""

    message: Message
    stamp: Stamp
    delay: timedelta


class Publisher:
    """Publishes to one queue, and to those that delay for it; what it does runs on its link's thread.

    `levels` are the delays, in milliseconds, that messages were sent with from here.
    """

    def __init__(
        self,
        queue_name: str,
        connect: Callable[[Callable[[bool], None]], Connection],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.link = Link(queue_name, "publish", connect, broken=self._forget)
        self.levels: set[int] = set()
        self._declared: set[int] = set()
        self._queue_name = queue_name
        self._monotonic = monotonic
        self._session: _Session | None = None

    def publish(self, letters: Sequence[Letter]) -> None:
        """Put all of them on their queues, or raise `TransportError`: then some of them may be there."""
        self._check_unblocked()
        self.link.call(lambda connection: self._publish(connection, letters))

    def _publish(self, connection: Connection, letters: Sequence[Letter]) -> None:
        if self._session is None:
            self._session = _Session(connection, self._monotonic)
        session = self._session
        # All at first: what the broker says during a declaration would be missed by who waits for confirms.
        targets = [self._target(connection, letter.delay) for letter in letters]
        for target, letter in zip(targets, letters, strict=True):
            session.put(target, letter)
        session.wait_for_confirms(self._check_unblocked)
        self._check_returned(session.returned)
        self._check_kept(session)

    def _target(self, connection: Connection, delay: timedelta) -> str:
        if delay <= timedelta():
            return self._queue_name
        level = level_ms(delay)
        if level not in self._declared:
            waiting(connection, self._queue_name)  # a message must not wait for a queue that is not there
            declare_delay(connection, self._queue_name, level)
            self._declared.add(level)
            self.levels.add(level)
        return delay_queue(self._queue_name, level)

    def _check_unblocked(self) -> None:
        if self.link.is_blocked:
            raise TransportError(
                f"queue {self._queue_name}: RabbitMQ takes no messages now (a memory or disk alarm); "
                "free what it lacks, the call is repeated"
            )

    def _check_returned(self, returned: Sequence[str]) -> None:
        if self._queue_name in returned:
            raise QueueMissing(f"queue {self._queue_name}: it does not exist; `shardworker setup` creates it")
        if returned:
            raise TransportError(
                f"queue {self._queue_name}: a queue for delays was deleted; it is made anew, "
                "and the call has to be repeated"
            )

    def _check_kept(self, session: "_Session") -> None:
        if session.is_refused:
            raise TransportError(
                f"queue {self._queue_name}: RabbitMQ refuses a message, and the call has to be repeated. Is "
                "the queue full (max-length in a policy), or has it lost most of its machines?"
            )

    def _forget(self, _error: TransportError) -> None:
        self._session = None
        self._declared.clear()


class _Session:
    """A channel that confirms, for as long as its connection lasts."""

    def __init__(self, connection: Connection, monotonic: Callable[[], float]) -> None:
        self.returned: list[str] = []
        self.is_refused = False
        self._monotonic = monotonic
        self._connection = connection
        channel: Any = connection.channel()
        channel.confirm_select()
        channel.events["basic_ack"].add(self._note_confirm)
        channel.events["basic_nack"].add(self._note_refusal)
        self._producer = Producer(channel, auto_declare=False, on_return=self._note_return)
        self._published = 0
        self._unconfirmed: set[int] = set()

    def put(self, queue_name: str, letter: Letter) -> None:
        """Write it; whether it arrived is told later."""
        message, stamp = letter.message, letter.stamp
        self._producer.publish(
            message.body.encode(),
            routing_key=queue_name,
            mandatory=True,
            content_type=CONTENT_TYPE,
            content_encoding="utf-8",
            delivery_mode=PERSISTENT,
            headers=headers_of(message, stamp),
            message_id=stamp.message_id,
            timestamp=_whole_seconds(stamp.sent_at),
        )
        self._published += 1
        self._unconfirmed.add(self._published)

    def wait_for_confirms(self, check: Callable[[], None]) -> None:
        """Until the broker has all that was put, or refused it.

        Raises if it says neither for too long, and what `check` raises.
        """
        deadline = self._monotonic() + CONFIRM_SECONDS
        while self._unconfirmed:
            left_seconds = deadline - self._monotonic()
            if left_seconds <= 0:
                raise TimeoutError
            check()
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=min(left_seconds, READ_SECONDS))

    def _note_confirm(self, delivery_tag: int, multiple: bool) -> None:  # noqa: FBT001 - the broker's own form
        if multiple:
            self._unconfirmed = {tag for tag in self._unconfirmed if tag > delivery_tag}
        else:
            self._unconfirmed.discard(delivery_tag)

    def _note_refusal(self, delivery_tag: int, multiple: bool) -> None:  # noqa: FBT001 - the broker's own form
        self.is_refused = True
        self._note_confirm(delivery_tag, multiple)

    def _note_return(self, _error: Exception, _exchange: str, routing_key: str, _message: object) -> None:
        self.returned.append(routing_key)


def _whole_seconds(moment: datetime) -> int:
    return int(moment.timestamp())
