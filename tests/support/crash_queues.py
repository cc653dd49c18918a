"""The three queues of the crash matrix, on the SQS stand-in, whose time a test can put forward."""

import time
from types import TracebackType
from typing import Self

from tests.support.sqs_queue import StoredMessage
from tests.support.sqs_server import SqsServer

REQUESTS, RESPONSES, FAILURES = QUEUES = ("requests", "responses", "failures")


class CrashQueues:
    """Request, response and failure queue; what is on them is looked at without receiving it."""

    def __init__(self) -> None:
        self._ahead_seconds = 0.0
        self.server = SqsServer(clock=lambda: time.time() + self._ahead_seconds)

    def __enter__(self) -> Self:
        self.server.start()
        for name in QUEUES:
            self.server.service.answer("CreateQueue", {"QueueName": name})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.stop()

    @property
    def port(self) -> int:
        """Where the stand-in listens."""
        return int(self.server.endpoint_url.rpartition(":")[2])

    def send(self, body: str) -> None:
        """Put a message on the request queue."""
        self.server.service.answer("SendMessage", {"QueueUrl": REQUESTS, "MessageBody": body})

    def messages(self, queue: str) -> list[StoredMessage]:
        """What is on the queue, leased or not."""
        return list(self.server.service.queues[queue].messages.values())

    def keep_for(self, seconds: int) -> None:
        """Let the request queue say that it keeps messages for so long; it keeps them all the same."""
        self.server.service.queues[REQUESTS].attributes["MessageRetentionPeriod"] = str(seconds)

    def let_pass(self, seconds: float) -> None:
        """Put the queues' time forward."""
        self._ahead_seconds += seconds
