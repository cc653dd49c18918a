"""Time and chance as the daemon sees them; tests bring their own."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """`monotonic` in seconds measures spans; `now` tells the time of day in UTC; `random` is in [0, 1)."""

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = _utc_now
    random: Callable[[], float] = field(default=random.random)
    sleep: Callable[[float], None] = time.sleep
