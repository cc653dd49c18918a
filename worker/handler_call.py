"""The call of a part's handler inside its transaction: under its time limit, with its context."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from msgspec import UNSET
from structlog.contextvars import bound_contextvars

from config.result import succeeded
from config.settings import Settings
from shards.changes import Changes
from shards.guard import PartConnection
from worker.job_in_hand import Part
from worker.part_context import part_context
from worker.pulse import doing
from worker.time_limits import TimeLimits
from worker.turn_limits import handler_grace_seconds, handler_timeout

GIVING_UP_SECONDS: Final = 15.0


class Payload:
    """A part's payload: decoded when this is made, before the transaction begins, and anew for a further try.

    The handler may have changed what it got before. Raises what the job type's model raises.
    """

    def __init__(self, part: Part) -> None:
        self._part = part
        self._decoded = [self._decode()]

    def take(self) -> Any:
        """The payload for one call of the handler."""
        return self._decoded.pop() if self._decoded else self._decode()

    def _decode(self) -> Any:
        handler = self._part.owner.handler
        assert handler is not None  # noqa: S101 - a job without a handler has only refused parts
        return handler.decode(self._part.request.payload)


class HandlerCall:
    """Calls handlers; `monotonic` gives seconds that only grow."""

    def __init__(self, settings: Settings, time_limits: TimeLimits, monotonic: Callable[[], float]) -> None:
        self._settings = settings
        self._time_limits = time_limits
        self._monotonic = monotonic

    def apply(self, settings: Settings) -> None:
        """Go by these settings from now on."""
        self._settings = settings

    def call(
        self,
        part: Part,
        connection: PartConnection,
        payload: Any,
        turn: AbstractContextManager[None] | None = None,
        changes: Changes | None = None,
    ) -> bytes:
        """The body of the part's outcome, which tells of `changes`. `turn` is around the handler alone.

        Raises what the handler raises, `OutOfTime`, and `BadResult`.
        """
        handler = part.owner.handler
        assert handler is not None  # noqa: S101 - a job without a handler has only refused parts
        timeout = handler_timeout(self._settings, part.owner.job_type)
        grace_seconds = handler_grace_seconds(timeout)
        hangs_after_seconds = timeout.total_seconds() + grace_seconds + GIVING_UP_SECONDS
        with (
            bound_contextvars(**part.owner.identity.log_names, customer=part.request.customer_id),
            doing("runs a handler", hangs_after_seconds, **names_of(part)),
            self._time_limits.within(timeout.total_seconds(), grace_seconds, connection),
            turn or nullcontext(),
        ):
            value = handler.call(payload, part_context(part, connection, timeout, self._monotonic))
        told = UNSET if changes is None else changes.told()
        return succeeded(part.request.customer_id, value, told)


def shard_name(part: Part) -> str:
    """The part's shard; empty where it has none."""
    return part.placement.shard if part.placement is not None else ""


def names_of(part: Part) -> dict[str, str]:
    """What a line about the part names, so that one that takes its database down can be found."""
    customer_id = part.request.customer_id
    return {**part.owner.identity.log_names, "customer": customer_id, "shard": shard_name(part)}
