"""The workers of this machine as they stand: asked at their sockets, else as they last wrote it down."""

import socket
from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from worker.status_file import LaneStatus, WorkerStatus, Written, read_workers

PATIENCE_SECONDS: Final = 1.0
ANSWER_BYTES_MAXIMUM: Final = 4 * 2**20


class Seen(NamedTuple):
    """How a worker stands. `answers`: it was asked a moment ago; else it is what it wrote last."""

    status: WorkerStatus
    answers: bool


def see_workers(state_directory: Path) -> list[Seen]:
    """Every worker that lives and shares this directory."""
    return [_see(written) for written in read_workers(state_directory)]


def _see(written: Written) -> Seen:
    answer = ask(written.socket)
    return Seen(written.status if answer is None else answer, answer is not None)


def ask(path: Path) -> WorkerStatus | None:
    """What the worker at this socket says of itself; None where it does not, within a second."""
    connection = _SocketConnection(path)
    try:
        connection.request("GET", "/status")
        response = connection.getresponse()
        if response.status != HTTPStatus.OK:
            return None
        return msgspec.json.decode(response.read(ANSWER_BYTES_MAXIMUM), type=WorkerStatus)
    except (OSError, HTTPException, msgspec.DecodeError):
        return None
    finally:
        connection.close()


class _SocketConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_SECONDS)
        self.sock.connect(str(self._path))


def complaints(seen: Seen, now: datetime) -> str:
    """What is not as it should be with a worker, in a few words; empty when all is well."""
    status = seen.status
    silent_seconds = (now - status.at).total_seconds()
    lists = {
        "hangs": status.hanging,
        "queues away": status.queues_away,
        "not accepted": status.not_accepted,
        "servers away": status.servers_away,
        "shards away": [shard for shard, lane in sorted(status.lanes.items()) if lane.away],
    }
    said = [
        "" if seen.answers else f"does not answer, written {silent_seconds:.0f} s ago",
        "leaves" if status.leaving else "",
        *(f"{name}: {', '.join(names)}" for name, names in lists.items() if names),
        f"threads given up: {status.given_up}" if status.given_up else "",
    ]
    return "; ".join(filter(None, said))


def lanes_together(workers: Sequence[Seen]) -> dict[str, dict[str, Any]]:
    """Each shard's lanes in all workers together, by shard."""
    lanes: dict[str, list[LaneStatus]] = {}
    for seen in workers:
        for shard, lane in seen.status.lanes.items():
            lanes.setdefault(shard, []).append(lane)
    return {shard: _together(lanes[shard]) for shard in sorted(lanes)}


def _together(lanes: Sequence[LaneStatus]) -> dict[str, Any]:
    return {
        "waiting": sum(lane.waiting for lane in lanes),
        "running": sum(lane.running for lane in lanes),
        "breaker": breaker_text(lanes),
        "openings": sum(lane.openings for lane in lanes),
    }


def breaker_text(lanes: Sequence[LaneStatus]) -> str:
    """Whether the shard's breaker is open: in all of the workers that met the shard, in some or in none."""
    away = sum(lane.away for lane in lanes)
    if away in {0, len(lanes)}:
        return "open" if away else "closed"
    return f"open in {away} of {len(lanes)} workers"
