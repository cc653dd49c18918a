"""The soak's queues: the SQS stand-in with calls that fail, and messages that come late or twice."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tests.soak.fate import GOOD, CallFate, MessageFate, call_fates, fault_of, message_fate
from tests.support.sqs_connection import Connection
from tests.support.sqs_queue import DEFAULT_ATTRIBUTES, Queue, StoredMessage
from tests.support.sqs_server import SqsServer
from tests.support.sqs_service import Request

REQUESTS, RESPONSES, FAILURES = QUEUES = ("requests", "responses", "failures")
RETENTION_SECONDS: Final = 14 * 86_400


class CarelessQueue(Queue):
    """Delivers at least once, in any order, as SQS says of itself; `seed` decides each message's fate."""

    def __init__(self, name: str, seed: int, clock: Callable[[], float]) -> None:
        super().__init__(name, DEFAULT_ATTRIBUTES | {"MessageRetentionPeriod": str(RETENTION_SECONDS)}, clock)
        self.seed = seed
        self.at_peace = False
        self.counts: Counter[str] = Counter()
        self._copies: Counter[str] = Counter()
        self._fates: dict[str, MessageFate] = {}

    def new_message(self, entry: Mapping[str, Any]) -> StoredMessage:
        """A message that others are let past."""
        message = Queue.new_message(self, entry)
        self._copies[message.body] += 1
        fate = message_fate(self.seed, message.body, self._copies[message.body])
        self._fates[message.message_id] = fate
        # as if it had waited for so long already: what comes later may have waited for longer
        message.visible_at -= fate.ahead_seconds
        return message

    def receive(self, maximum: int, visibility_seconds: int) -> list[StoredMessage]:
        """Lease messages, some of which go on to be visible."""
        taken = Queue.receive(self, maximum, visibility_seconds)
        for message in taken:
            fate = self._fates[message.message_id]
            if fate.doubles and not self.at_peace:
                fate.doubles -= 1
                self.counts["doubled"] += 1
                self._show_at(message, self.clock() + fate.again_seconds)
        return taken

    def delete(self, receipt: str) -> None:
        """Delete a message, unless it is one that comes once more."""
        message, is_latest = self._find(receipt)
        fate = self._fates[message.message_id] if message is not None and is_latest else None
        if message is None or fate is None or not fate.ghosts or self.at_peace:
            Queue.delete(self, receipt)
            return
        fate.ghosts -= 1
        self.counts["undeleted"] += 1
        self._show_at(message, self.clock() + fate.again_seconds)


class CarelessServer(SqsServer):
    """The stand-in whose calls fail, hang and lose their answers, as the seed says."""

    def __init__(self, seed: int) -> None:
        self._ahead_seconds = 0.0
        super().__init__(clock=lambda: time.time() + self._ahead_seconds)
        self.at_peace = False
        self.troubles: Counter[str] = Counter()
        self._seed = seed
        self._fates: dict[str, Iterator[CallFate]] = {}
        self.requests = CarelessQueue(REQUESTS, seed, self._clock)
        self.service.queues[REQUESTS] = self.requests
        for name in (RESPONSES, FAILURES):
            self.service.answer("CreateQueue", {"QueueName": name})

    def send(self, body: str) -> None:
        """Put a message on the request queue, beside all trouble."""
        self.act(REQUESTS, lambda: self.requests.send({"MessageBody": body}))

    def make_peace(self) -> None:
        """Nothing goes wrong any more."""
        self.at_peace = self.requests.at_peace = True

    def let_pass(self, seconds: float) -> None:
        """Put the queues' time forward: what waits there comes sooner."""
        self._ahead_seconds += seconds
        self.act(REQUESTS, lambda: None)

    def take(self, queue: str) -> list[StoredMessage]:
        """Take all that lies on a queue that nobody else receives from."""
        taken: list[StoredMessage] = []

        def take() -> None:
            found = self.service.queues[queue]
            taken.extend(found.messages.values())
            found.purge()

        self.act(queue, take)
        return taken

    def _act(self, connection: Connection, action: str, request: Request) -> None:
        fate = GOOD if self.at_peace else self._next_fate(action)
        fault = fault_of(fate, action, len(request.get("Entries", ())))
        if fate is not GOOD:
            self.troubles["late" if fault is None else fault.code if not fault.drop else "dropped"] += 1
        if fault is not None:
            self._faults.setdefault(action, deque()).append(fault)
        if fate.late_seconds and self._loop is not None:
            self._loop.call_later(fate.late_seconds, super()._act, connection, action, request)
        else:
            super()._act(connection, action, request)

    def _next_fate(self, action: str) -> CallFate:
        if action not in self._fates:
            self._fates[action] = call_fates(self._seed, action)
        return next(self._fates[action])
