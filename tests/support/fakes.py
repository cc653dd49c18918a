"""Stand-ins for what the core has from outside: time, an object store, a stop, a delivery."""

import io
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

from worker.clock import Clock
from worker.objects import ObjectMissing
from worker.transports.base import Attribute, Delivery

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class ManualTime:
    """Time that passes only when a test says so, and chance that is always the same."""

    def __init__(self, chance: float = 0.0) -> None:
        self.seconds = 1000.0
        self.slept: list[float] = []
        self.chance = chance
        self.clock = Clock(
            monotonic=lambda: self.seconds,
            now=lambda: NOON + timedelta(seconds=self.seconds - 1000.0),
            random=lambda: self.chance,
            sleep=self.sleep,
        )

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds

    def sleep(self, seconds: float) -> None:
        """Note the sleep, and let its time pass at once."""
        self.slept.append(seconds)
        self.seconds += seconds


class MemoryStore:
    """An object store in memory; `error` is raised by every call."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.error: Exception | None = None

    def open(self, bucket: str, key: str, version_id: str | None = None) -> AbstractContextManager[BinaryIO]:
        """An object as it was put; versions are not kept."""
        if self.error is not None:
            raise self.error
        if (bucket, key) not in self.objects:
            raise ObjectMissing(f"{bucket}/{key} {version_id}")
        return io.BytesIO(self.objects[bucket, key])

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Keep the bytes."""
        if self.error is not None:
            raise self.error
        self.objects[bucket, key] = data

    def put_file(self, bucket: str, key: str, file: BinaryIO) -> None:
        """Keep what is in it."""
        file.seek(0)
        self.put(bucket, key, file.read())

    def check(self, _bucket: str) -> list[str]:
        """All is well."""
        return []

    def close(self) -> None:
        """There is nothing to close."""


class QuickStop(threading.Event):
    """A stop event whose waits end at once and are noted; `after` so many of them it is set."""

    def __init__(self, after: int | None = None) -> None:
        super().__init__()
        self.waits: list[float | None] = []
        self._after = after

    def wait(self, timeout: float | None = None) -> bool:
        """Note the wait and return at once."""
        self.waits.append(timeout)
        if self._after is not None and len(self.waits) >= self._after:
            self.set()
        return self.is_set()


def delivery_of(
    body: str = "{}",
    *,
    message_id: str = "message-1",
    attributes: Mapping[str, Attribute] | None = None,
    receive_count: int = 1,
    sent_at: datetime = NOON,
) -> Delivery:
    """A delivery as a queue would make it."""
    return Delivery(message_id, f"receipt of {message_id}", body, attributes or {}, receive_count, sent_at)
