"""A world on the SQS stand-in whose queues can go away one by one, each in any of the ways that queues do."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from tests.support.sick_proxy import SickProxy, sick_proxy
from tests.support.sqs_queue import SqsError
from tests.support.sqs_server import SqsServer
from tests.support.sqs_service import Answer
from tests.support.world import World

QueueName = Literal["requests", "responses", "failures"]
Way = Literal["unavailable", "missing", "refused", "silent"]

QUEUES: tuple[QueueName, ...] = ("requests", "responses", "failures")
ERRORS = {"unavailable": ("ServiceUnavailable", 503), "missing": ("QueueDoesNotExist", 400)}


class QueueOutage:
    """Queues that go away: they answer with an error, nobody listens there, or nobody answers at all.

    The stand-in's time can be put forward, so that a delay needs no waiting.
    """

    def __init__(self) -> None:
        self._ahead_seconds = 0.0
        self._ways: dict[str, Way] = {}
        self._stack = ExitStack()
        self.server = SqsServer(clock=lambda: time.time() + self._ahead_seconds)
        self._answer = self.server.service.answer
        self.server.service.answer = self._answer_unless_away  # type: ignore[method-assign]

    def __enter__(self) -> Self:
        self._stack.enter_context(self.server)
        port = int(self.server.endpoint_url.rpartition(":")[2])
        self._proxies: dict[str, SickProxy] = {
            name: self._stack.enter_context(sick_proxy(port)) for name in QUEUES
        }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def world(self, directory: Path, **options: str) -> World:
        """A world whose queues are these, closed at the end."""
        requests, responses, failures = (
            f"sqs+http://127.0.0.1:{self._proxies[name].port}/000000000000/{name}" for name in QUEUES
        )
        world = World(directory, requests, responses, failures, options)
        self._stack.callback(world.close)
        return world

    def begin(self, name: QueueName, way: Way) -> None:
        """The queue is away from now on."""
        self._ways[name] = way
        if way == "refused":
            self._proxies[name].refuse()
        elif way == "silent":
            self._proxies[name].swallow()

    def end(self, name: QueueName) -> None:
        """The queue is back."""
        if self._ways.pop(name) not in ERRORS:
            self._proxies[name].heal()

    def let_pass(self, seconds: float) -> None:
        """Put the queues' time forward."""
        self._ahead_seconds += seconds

    def leased(self) -> list[int]:
        """The receive counts of the requests that somebody holds."""
        queue, now = self.server.service.queues["requests"], time.time() + self._ahead_seconds
        messages = list(queue.messages.values())
        return [one.receive_count for one in messages if one.receive_count and one.visible_at > now]

    def bodies(self, name: QueueName) -> list[str]:
        """The bodies of all that is on a queue, however it is away."""
        return [message.body for message in list(self.server.service.queues[name].messages.values())]

    def _answer_unless_away(self, action: str, request: Mapping[str, Any]) -> Answer:
        asked = str(request.get("QueueUrl") or request.get("QueueName", "")).rsplit("/", 1)[-1]
        way = self._ways.get(asked)
        if way in ERRORS:
            code, status = ERRORS[way]
            raise SqsError(code, "it is away", sender_fault=False, status=status)
        return self._answer(action, request)
