"""The HTTP side of the SQS stand-in: one connection's requests, one after the other."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from tests.support.sqs_query import CONTENT_TYPE as XML
from tests.support.sqs_query import write_answer, write_error

JSON: Final = "application/x-amz-json-1.0"
REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    503: "Service Unavailable",
}


class Handler(Protocol):
    """What answers the requests."""

    connections: "set[Connection]"

    def handle(self, connection: "Connection", line: str, target: str, body: bytes) -> None:
        """Answer one request: its method and path, its X-Amz-Target, its body."""


class Connection(asyncio.Protocol):
    """One client's connection: HTTP/1.1 with keep-alive, one request after the other."""

    def __init__(self, handler: "Handler") -> None:
        self._handler = handler
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._action_in_xml: str | None = None
        self.forget: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; asyncio calls this."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._handler.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the receive that waits: its client is gone; asyncio calls this."""
        del exc
        self._handler.connections.discard(self)
        if self.forget is not None:
            self.forget()

    def data_received(self, data: bytes) -> None:
        """Collect bytes until a request is whole; asyncio calls this."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
            }
            length = int(headers.get("content-length", 0))
            if len(self._buffer) < end + 4 + length:
                return
            body = bytes(self._buffer[end + 4 : end + 4 + length])
            del self._buffer[: end + 4 + length]
            method, path, _ = head[0].split(" ", 2)
            self._handler.handle(self, f"{method} {path}", headers.get("x-amz-target", ""), body)

    def answer_in_xml(self, action: str) -> None:
        """Answer this client, which asks for the action, as the Query protocol does."""
        self._action_in_xml = action

    def respond(self, status: int, answer: Mapping[str, Any]) -> None:
        """Write the answer, unless the client is gone."""
        if self._action_in_xml is None:
            self._write(status, JSON, msgspec.json.encode(answer))
        else:
            self._write(status, XML, write_answer(self._action_in_xml, answer))

    def refuse(self, status: int, code: str, query_code: str, text: str) -> None:
        """Write an error, unless the client is gone; it has a code in each of the two protocols."""
        if self._action_in_xml is None:
            error = {"__type__": code, "__type": f"com.amazonaws.sqs#{code}", "message": text}
            self._write(
                status, f"{JSON}\r\nx-amzn-query-error: {query_code};Sender", msgspec.json.encode(error)
            )
        else:
            self._write(status, XML, write_error(query_code, text))

    def _write(self, status: int, content_type: str, body: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        head = (
            f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)

    def drop(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()
