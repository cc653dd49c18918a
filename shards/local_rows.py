"""Rows in memory in the place of the local file that LOAD DATA LOCAL asks for, and nothing but them."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pymysql.connections
from pymysql.constants import CR

PACKET_BYTES: Final = 2**14
"""What servers take at once, whatever they are set to: the drivers send no more, either."""
SEQUENCE_LENGTH: Final = 256


class RowsConnection(pymysql.connections.Connection):
    """Answers the next statement's request for a local file with `rows`; no file is ever opened.

    Without rows the driver refuses the request. They are sent by one call: for each of the many that the
    driver makes, it would wait for Python's lock until the thread pauses that makes the next rows ready.
    """

    rows: bytes | None = None
    _next_seq_id: int
    _write_bytes: Callable[[bytes], None]

    def _read_query_result(self, unbuffered: bool = False) -> Any:  # noqa: FBT001, FBT002 - the driver's own
        if self.rows is not None:
            rows, self.rows = self.rows, None
            self._send(rows)
        result: Any = super()._read_query_result(unbuffered)  # type: ignore[misc]
        return result

    def _send(self, rows: bytes) -> None:
        request = self._read_packet()  # type: ignore[no-untyped-call]
        if not request.is_load_local_packet():
            reason = "The server did not ask for the rows that it was to load."
            raise pymysql.err.OperationalError(CR.CR_COMMANDS_OUT_OF_SYNC, reason)
        packets = as_packets(rows, self._next_seq_id)
        self._write_bytes(b"".join(packets))
        self._next_seq_id = (self._next_seq_id + len(packets) // 2) % SEQUENCE_LENGTH


@contextmanager
def offered(connection: Any, rows: bytes) -> Iterator[str]:
    """The name of a file that the driver's connection, inside the block, answers with these rows."""
    if not isinstance(connection, RowsConnection):
        with _file_of(rows) as path:
            yield path
        return
    connection.rows = rows
    try:
        yield "rows"
    finally:
        connection.rows = None


def as_packets(rows: bytes, sequence: int) -> list[bytes | memoryview]:
    """The rows as packets of the protocol, an empty one at the end: the headers and what follows each."""
    view, packets = memoryview(rows), list[bytes | memoryview]()
    for start in range(0, len(rows) + PACKET_BYTES, PACKET_BYTES):
        content = view[start : start + PACKET_BYTES]
        packets += (len(content).to_bytes(3, "little") + bytes((sequence % SEQUENCE_LENGTH,)), content)
        sequence += 1
    return packets


@contextmanager
def _file_of(data: bytes) -> Iterator[str]:
    """The name of a file without a place on disk, where there are such files, that has these bytes."""
    if hasattr(os, "memfd_create"):
        file: Any = os.fdopen(os.memfd_create("shardworker-rows"), "w+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed below, as the other one
    with file:
        file.write(data)
        file.flush()
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        yield f"/dev/fd/{file.fileno()}"
