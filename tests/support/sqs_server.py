"""A fast SQS of our own for tests and benchmarks: the JSON and the Query protocol over HTTP on 127.0.0.1.

It honours visibility, delays, receive counts and long polls, counts every action (`counts`, `GET /counts`)
and fails on demand (`fail_next`, `POST /faults`). Run it as a process with
`python -m tests.support.sqs_server --port 9324`.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from threading import Event, Thread
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from tests.support.sqs_connection import Connection
from tests.support.sqs_query import read_query
from tests.support.sqs_queue import Queue, SqsError
from tests.support.sqs_service import Answer, Request, Service, failed_entry

LEGACY_CODES: Final = {
    "QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue",
    "MessageNotInflight": "AWS.SimpleQueueService.MessageNotInflight",
    "BatchRequestTooLong": "AWS.SimpleQueueService.BatchRequestTooLong",
}
READY_SECONDS: Final = 10


class Fault(msgspec.Struct, frozen=True):
    """A fault for the next call of an action.

    With `entries`, those positions of the batch fail and the others are done; with an empty `code` the
    answer does not mention them. With `drop`, the connection
    is cut without an answer: before the action is done, or with `done` after it.
    """

    action: str
    code: str = "ServiceUnavailable"
    status: int = 503
    entries: tuple[int, ...] = ()
    sender_fault: bool = False
    drop: bool = False
    done: bool = False


class Waiter(msgspec.Struct, eq=False):
    """A receive that waits for a message."""

    connection: Connection
    request: Mapping[str, Any]
    timer: asyncio.TimerHandle


class SqsServer:
    """The server. As a context manager it runs in a thread of its own: `with SqsServer() as server`."""

    def __init__(
        self, *, port: int = 0, latency_seconds: float = 0.0, clock: Callable[[], float] = time.time
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.connections: set[Connection] = set()
        self.service = Service(clock)
        self.latency_seconds = latency_seconds
        self._port = port
        self._clock = clock
        self._faults: dict[str, deque[Fault | None]] = {}
        self._waiters: dict[str, deque[Waiter]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._ready = Event()
        self._thread = Thread(target=lambda: asyncio.run(self.serve()), name="sqs-server", daemon=True)

    @property
    def endpoint_url(self) -> str:
        """Where it listens, for boto3's `endpoint_url`."""
        return self.service.base_url

    def start(self) -> Self:
        """Run in a thread; returns when it listens."""
        self._thread.start()
        if not self._ready.wait(READY_SECONDS):
            raise TimeoutError("the SQS stand-in did not start to listen")
        return self

    def stop(self) -> None:
        """Stop and wait for the thread; connections are cut."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(READY_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def fail_next(self, action: str, *, times: int = 1, after: int = 0, **fault: Any) -> None:
        """Let the next calls of the action fail as `Fault` describes, after that many that do not."""
        faults = self._faults.setdefault(action, deque())
        faults.extend([None] * after)
        faults.extend([Fault(action, **fault)] * times)

    def heal(self) -> None:
        """Forget all faults."""
        self._faults.clear()

    def act(self, queue: str, action: Callable[[], object]) -> None:
        """Do something in the server's own thread; receives that wait at the queue see what came of it."""
        assert self._loop is not None
        done = Event()

        def run() -> None:
            action()
            self._wake(self.service.queues[queue])
            done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait(READY_SECONDS)

    def end_polls(self, queue: str) -> None:
        """Let receives that wait at the queue wait no longer."""

        def end() -> None:
            for waiter in list(self._waiters.get(queue, ())):
                if waiter.connection.forget is not None:
                    waiter.connection.forget()
                waiter.connection.respond(200, {"Messages": []})

        self.act(queue, end)

    async def serve(self) -> None:
        """Listen until `stop`."""
        self._loop = asyncio.get_running_loop()
        server = await self._loop.create_server(
            lambda: Connection(self), "127.0.0.1", self._port, backlog=512
        )
        self.service.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stopping.wait()
        server.close()
        for connection in list(self.connections):
            connection.drop()

    def handle(self, connection: Connection, line: str, target: str, body: bytes) -> None:
        """Answer one request, after the latency if there is one."""
        if self.latency_seconds and self._loop is not None:
            self._loop.call_later(self.latency_seconds, self._handle, connection, line, target, body)
        else:
            self._handle(connection, line, target, body)

    def _handle(self, connection: Connection, line: str, target: str, body: bytes) -> None:
        if line == "GET /counts":
            connection.respond(200, self.counts)
        elif line == "POST /faults":
            fault = msgspec.json.decode(body, type=Fault)
            self._faults.setdefault(fault.action, deque()).append(fault)
            connection.respond(200, {})
        elif target.startswith("AmazonSQS."):
            self._act(connection, target.removeprefix("AmazonSQS."), msgspec.json.decode(body))
        elif line == "POST /":
            action, request = read_query(body)
            connection.answer_in_xml(action)
            self._act(connection, action, request)
        else:
            connection.respond(404, {})

    def _act(self, connection: Connection, action: str, request: Request) -> None:
        self.counts[action] += 1
        faults = self._faults.get(action)
        fault = faults.popleft() if faults else None
        try:
            if fault is None:
                self._answer(connection, action, request)
            elif fault.drop:
                if fault.done:
                    self.service.answer(action, request)
                connection.drop()
            elif fault.entries:
                connection.respond(200, self._answer_partly(action, request, fault))
            else:
                raise SqsError(fault.code, "a fault of the stand-in's", status=fault.status)
        except SqsError as error:
            connection.refuse(error.status, error.code, LEGACY_CODES.get(error.code, error.code), str(error))

    def _answer(self, connection: Connection, action: str, request: Request) -> None:
        answer = self.service.answer(action, request)
        if action == "ReceiveMessage" and not answer["Messages"] and self.service.wait_seconds(request):
            self._wait(connection, request)
            return
        connection.respond(200, answer)
        if action.startswith(("Send", "Change", "Delete")) and action != "DeleteQueue":
            self._wake(self.service.queue(request))

    def _answer_partly(self, action: str, request: Request, fault: Fault) -> Answer:
        entries = request["Entries"]
        error = SqsError(fault.code, "a fault of the stand-in's", sender_fault=fault.sender_fault)
        positions = fault.entries if fault.code else ()
        failed = [failed_entry(entries[position]["Id"], error) for position in positions]
        others = [entry for position, entry in enumerate(entries) if position not in fault.entries]
        answer: Answer = {"Successful": [], "Failed": []}
        if others:
            answer = self.service.answer(action, {**request, "Entries": others})
        return answer | {"Failed": answer["Failed"] + failed}

    def _wait(self, connection: Connection, request: Request) -> None:
        assert self._loop is not None
        queue = self.service.queue(request)
        waiters = self._waiters.setdefault(queue.name, deque())
        seconds = self.service.wait_seconds(request)
        waiter = Waiter(connection, request, self._loop.call_later(seconds, lambda: finish({"Messages": []})))

        def leave() -> None:
            connection.forget = None
            waiter.timer.cancel()
            if waiter in waiters:
                waiters.remove(waiter)

        def finish(answer: Answer) -> None:
            leave()
            connection.respond(200, answer)

        connection.forget = leave
        waiters.append(waiter)
        self._wake(queue)

    def _wake(self, queue: Queue) -> None:
        waiters = self._waiters.get(queue.name)
        while waiters and (visible_at := queue.next_visible_at()) is not None:
            delay = visible_at - self._clock()
            if delay > 0:
                self._wake_later(queue, delay)
                return
            waiter = waiters[0]
            if waiter.connection.forget is not None:
                waiter.connection.forget()
            waiter.connection.respond(200, self.service.receive(waiter.request))

    def _wake_later(self, queue: Queue, delay: float) -> None:
        assert self._loop is not None
        if queue.name in self._timers:
            self._timers[queue.name].cancel()
        self._timers[queue.name] = self._loop.call_later(delay, self._wake, queue)


def main() -> None:
    """Run until interrupted; prints the endpoint's URL."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9324)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    options = parser.parse_args()
    server = SqsServer(port=options.port, latency_seconds=options.latency_ms / 1000).start()
    sys.stdout.write(f"{server.endpoint_url}\n")
    sys.stdout.flush()
    try:
        Event().wait()
    except KeyboardInterrupt:
        server.stop()


if __name__ == "__main__":
    main()
