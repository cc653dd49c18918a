"""Rate limits of queues, partners and customers: whether one more part may go now, and when the next may."""

from functools import cache
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from config.rate_limits import Rate
from config.rate_limits import RateLimits as Configured

if TYPE_CHECKING:
    from pyrate_limiter import GCRA
    from pyrate_limiter import Rate as LibraryRate

REMEMBERED_MINIMUM: Final = 1024
"""So many limits are remembered before those that are at rest are looked for."""

Scope = Literal["queue", "partner", "customer"]


class Key(NamedTuple):
    """What is limited: a request queue, a partner or a customer."""

    scope: Scope
    name: str


class Limited(NamedTuple):
    """Why a part may not go now: the limit that keeps it longest, and for how long."""

    key: Key
    wait_seconds: float


class RateLimits:
    """Counts parts against the configured limits; not thread-safe.

    The library's generic cell rate algorithm needs one moment for each limit, and only while that is not at
    rest: of customers that are idle nothing is remembered. `now` is in monotonic seconds.
    """

    def __init__(self, configured: Configured) -> None:
        self._used_until_us: dict[Key, float] = {}
        self._put_off_until: dict[Key, float] = {}
        self._look_at = REMEMBERED_MINIMUM
        self.apply(configured)

    def apply(self, configured: Configured) -> None:
        """Go by these limits from now on; what was used before counts on."""
        self._configured = configured
        self.are_set = configured != Configured()

    def keys_of(self, queue: str, partner_id: str, customer_id: str) -> tuple[Key, ...]:
        """The limits that count for a part; none where none is configured."""
        keys = (Key("queue", queue), Key("partner", partner_id), Key("customer", customer_id))
        return tuple(key for key in keys if self._rate_of(key) is not None)

    def take(self, keys: tuple[Key, ...], now: float) -> Limited | None:
        """Count one part against all of these limits; against none, and tell which, where one is reached."""
        milliseconds = int(now * 1000)
        rates = [self._library_rate(key) for key in keys]
        used = [self._used_until_us.get(key, 0.0) for key in keys]
        used_then, decision = _algorithm().step(rates, tuple(used), milliseconds, 1)
        if not decision.allowed:
            waits = (
                _wait_seconds(rate, until, milliseconds) for rate, until in zip(rates, used, strict=True)
            )
            return max(map(Limited, keys, waits), key=lambda limited: limited.wait_seconds)
        self._used_until_us.update(zip(keys, used_then, strict=True))
        self._forget_what_rests(now)
        return None

    def give_back(self, keys: tuple[Key, ...]) -> None:
        """The part that was counted against these limits did not go after all."""
        for key in keys:
            if key in self._used_until_us:
                self._used_until_us[key] -= self.share_seconds(key) * 1_000_000

    def share_seconds(self, key: Key) -> float:
        """How long one part uses the limit."""
        rate = self._rate_of(key)
        return 0.0 if rate is None else rate.period.total_seconds() / rate.parts

    def put_off(self, key: Key, earliest: float, latest: float) -> float:
        """When a part may come again that cannot wait for the limit here: one after the other.

        `earliest` and `latest` are moments; what comes back spread out does not come in vain.
        """
        behind = self._put_off_until.get(key, 0.0) + self.share_seconds(key)
        moment = min(max(behind, earliest), latest)
        self._put_off_until[key] = moment
        return moment

    def _rate_of(self, key: Key) -> Rate | None:
        configured = self._configured
        match key.scope:
            case "queue":
                return configured.queues.get(key.name, configured.queue)
            case "partner":
                return configured.partners.get(key.name, configured.partner)
            case "customer":
                return configured.customers.get(key.name, configured.customer)

    def _library_rate(self, key: Key) -> "LibraryRate":
        rate = self._rate_of(key)
        assert rate is not None  # noqa: S101 - keys_of gives only keys that have one
        return _library_rate(rate)

    def _forget_what_rests(self, now: float) -> None:
        if len(self._used_until_us) + len(self._put_off_until) < self._look_at:
            return
        used, put_off = self._used_until_us.items(), self._put_off_until.items()
        self._used_until_us = {key: until for key, until in used if until > now * 1_000_000}
        self._put_off_until = {key: until for key, until in put_off if until > now}
        self._look_at = max(REMEMBERED_MINIMUM, 2 * (len(self._used_until_us) + len(self._put_off_until)))


@cache
def _library_rate(rate: Rate) -> "LibraryRate":
    from pyrate_limiter import Rate as LibraryRate

    return LibraryRate(rate.parts, round(rate.period.total_seconds() * 1000))


@cache
def _algorithm() -> "GCRA":
    # imported where a limit is configured: 0.1 s that others need not wait
    from pyrate_limiter import GCRA

    return GCRA()


def _wait_seconds(rate: "LibraryRate", used_until_us: float, milliseconds: int) -> float:
    _, decision = _algorithm().step([rate], (used_until_us,), milliseconds, 1)
    return (decision.retry_after_ms or 0) / 1000
