"""Leases: everything in hand is extended in batches before its visibility timeout runs out."""

import threading
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta

import structlog

from worker.clock import Clock
from worker.held import Held, charge
from worker.pulse import doing
from worker.transports.base import Fault, Transport, TransportError

RETRY_SECONDS_MINIMUM = 0.2
RETRY_SECONDS_MAXIMUM = 5.0
TURN_GRACE_SECONDS = 60.0

log = structlog.get_logger()


def renewal_moment(expires_at: float, lease_seconds: float, renewal_seconds: float) -> float:
    """When to extend a lease that ends at `expires_at`: so long after it was begun or extended."""
    return expires_at - lease_seconds + renewal_seconds


def retry_moment(now: float, expires_at: float) -> float:
    """When to try again after an extension failed: a quarter of what is left, between 0.2 s and 5 s.

    Never after the end: then the lease is lost, and that is to be told at once.
    """
    pause_seconds = min(max((expires_at - now) / 4, RETRY_SECONDS_MINIMUM), RETRY_SECONDS_MAXIMUM)
    return min(now + pause_seconds, expires_at)


def gather_moment(now: float, renewal_seconds: float) -> float:
    """Leases due before this moment are extended together with those due now, to fill the batches."""
    return now + renewal_seconds / 5


class Leases:
    """Keeps the leases of all deliveries in hand, from one thread of its own (`run`).

    A lease that could not be extended before its end is *lost*: the delivery's event is set, so that its
    parts and the settler know. An expired lease is never extended: another worker may hold it already.
    `extended` and `lost` count since the start; only the thread of `run` writes them.

    `on_lost` is told of each lost one, by that thread.

    A lease is extended when `renewal_seconds` have passed of it: by default, and at most, half of it.
    """

    def __init__(
        self,
        lease_seconds: float,
        clock: Clock,
        renewal_seconds: float | None = None,
        on_lost: Callable[[Held], None] = lambda _held: None,
    ) -> None:
        self.extended = 0
        self.lost = 0
        self._lease_seconds = lease_seconds
        self._renewal_seconds = min(renewal_seconds or lease_seconds / 2, lease_seconds / 2)
        self._lease = timedelta(seconds=lease_seconds)
        self._clock = clock
        self._on_lost = on_lost
        self._lock = threading.Lock()
        self._due: dict[Held, float] = {}
        self._stopped = threading.Event()

    def keep(self, held: list[Held]) -> None:
        """Take the leases of what was just received into care."""
        with self._lock:
            for one in held:
                self._due[one] = self._renewal_moment(one)

    def drop(self, held: Held) -> None:
        """Forget the lease of a delivery that was acked or released."""
        with self._lock:
            self._due.pop(held, None)

    def in_hand(self) -> list[Held]:
        """Every delivery whose lease is kept."""
        with self._lock:
            return list(self._due)

    def stop(self) -> None:
        """Let `run` return."""
        self._stopped.set()

    def run(self) -> None:
        """Extend what is due, again and again, until stopped."""
        pause_seconds = 0.0
        while not self._stopped.wait(pause_seconds):
            with doing("extends leases", self._lease_seconds + TURN_GRACE_SECONDS):
                pause_seconds = self.extend_due()

    def extend_due(self) -> float:
        """Extend every lease that is due; the seconds until the next look."""
        now = self._clock.monotonic()
        for source, batch in self._take_due(now).items():
            self._extend(source, batch)
        with self._lock:
            nearest = min(self._due.values(), default=now + self._lease_seconds)
        # A poll takes a third of a lease at most, so what comes during the sleep is due a sixth later.
        return max(0.0, min(nearest - self._clock.monotonic(), self._renewal_seconds / 4))

    def _renewal_moment(self, held: Held) -> float:
        return renewal_moment(held.expires_at, self._lease_seconds, self._renewal_seconds)

    def _take_due(self, now: float) -> dict[Transport, list[Held]]:
        batches: dict[Transport, list[Held]] = defaultdict(list)
        horizon = gather_moment(now, self._renewal_seconds)
        with self._lock:
            if any(moment <= now for moment in self._due.values()):
                for held, moment in self._due.items():
                    if moment <= horizon:
                        batches[held.source].append(held)
        return batches

    def _extend(self, source: Transport, due: list[Held]) -> None:
        # The new end counts from before the call: the queue may have counted from any moment of it.
        before = self._clock.monotonic()
        batch = self._without_expired(due, before)
        charge(batch)
        try:
            faults = source.extend([held.delivery for held in batch], self._lease) if batch else {}
        except TransportError as error:
            log.warning("lease.failed", queue=source.name, count=len(batch), error=str(error))
            faults = dict.fromkeys(range(len(batch)), Fault("unavailable", str(error)))
        for position, held in enumerate(batch):
            self._note(held, faults.get(position), before)

    def _without_expired(self, batch: list[Held], now: float) -> list[Held]:
        for held in batch:
            if held.expires_at <= now:
                self._lose(held, "expired")
        return [held for held in batch if held.expires_at > now]

    def _note(self, held: Held, fault: Fault | None, before: float) -> None:
        if fault is not None and fault.lost:
            self._lose(held, fault.code)
            return
        with self._lock:
            if held not in self._due:
                return
            if fault is None:
                self.extended += 1
                held.expires_at = before + self._lease_seconds
                self._due[held] = self._renewal_moment(held)
            else:
                self._due[held] = retry_moment(self._clock.monotonic(), held.expires_at)

    def _lose(self, held: Held, code: str) -> None:
        with self._lock:
            if self._due.pop(held, None) is None:
                return
        held.lost.set()
        self.lost += 1
        log.warning(
            "lease.lost",
            queue=held.source.name,
            message_id=held.delivery.message_id,
            error_code=code,
            msg="Another worker may have the message now; the inbox tells it what is done already.",
        )
        self._on_lost(held)
