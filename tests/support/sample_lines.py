"""Some lines of a worker's log, and files of them."""

import json
from pathlib import Path
from typing import Any

DONE: dict[str, Any] = {
    "ts": "2026-11-21T10:00:00.123Z",
    "level": "info",
    "event": "job.done",
    "job": "j-1",
    "run": 1,
    "partner": "acme",
    "type": "orders.insert",
    "outcome": "succeeded",
    "error_code": None,
    "shards": ["eu1", "eu2"],
    "copy": False,
    "total_ms": 18.4,
}
FAILED: dict[str, Any] = {
    **DONE,
    "ts": "2026-11-21T11:00:00.000Z",
    "job": "j-2",
    "partner": "bolt",
    "type": "orders.delete",
    "outcome": "failed",
    "error_code": "unique_violation",
    "shards": ["eu2"],
    "total_ms": 2500,
}
AWAY: dict[str, Any] = {
    "ts": "2026-11-21T12:00:00.000Z",
    "level": "warning",
    "event": "shard.unanswered",
    "job": "j-1",
    "customer": "c-7",
    "shard": "eu3",
    "error_code": "shard_away",
}
LINES = [DONE, FAILED, AWAY]


def write(path: Path, *lines: dict[str, Any] | bytes) -> Path:
    """Write the lines, or bytes as they are, to a file; the path of it."""
    encoded = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path.write_bytes(b"".join(line + b"\n" for line in encoded))
    return path
