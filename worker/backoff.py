"""How long to wait before the next try: exponential delays with full jitter, as pure functions."""

from datetime import timedelta

EXPONENT_MAXIMUM = 40


def ceiling(tries: int, base: timedelta, maximum: timedelta) -> timedelta:
    """`base` doubled with each try after the first, at most `maximum`."""
    exponent = min(max(tries, 1) - 1, EXPONENT_MAXIMUM)
    return min(timedelta(seconds=min(base.total_seconds() * 2**exponent, maximum.total_seconds())), maximum)


def full_jitter(tries: int, base: timedelta, maximum: timedelta, chance: float) -> timedelta:
    """A delay between nothing and the ceiling of this try; `chance` in [0, 1) picks it.

    Full jitter, because many jobs fail together and must not come back together
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """
    return ceiling(tries, base, maximum) * chance


def half_jitter(tries: int, base: timedelta, maximum: timedelta, chance: float) -> timedelta:
    """A delay between half of this try's ceiling and all of it: for waits that must really grow."""
    return ceiling(tries, base, maximum) * (0.5 + chance / 2)
