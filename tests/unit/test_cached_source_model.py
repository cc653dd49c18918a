"""The cache before a catalog, as a state machine: an answer is always what the source said lately."""

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shards.availability import LONGEST_PAUSE_SECONDS, Availability
from shards.cached_source import UNKNOWN_LIFETIME, CachedSource, Found
from shards.directory import DirectoryUnavailable
from tests.support.fakes import ManualTime
from tests.support.sources import NotedEvents, TestSource

LIFETIME, STALE = 5.0, 120.0
MOMENT = 0.001  # between any two steps, so that their order is told by their times
KEYS = ("a", "b")
some_keys = st.lists(st.sampled_from(KEYS), min_size=1, max_size=2, unique=True)


class CachedSourceMachine(RuleBasedStateMachine):
    """The source's history is kept; each answer is compared with what the source said within its lifetime."""

    def __init__(self) -> None:
        super().__init__()
        self.time = ManualTime()
        self.source = TestSource()
        self.noted = NotedEvents()
        clock = self.time.clock.monotonic
        self.cache = CachedSource(
            self.source,
            timedelta(seconds=LIFETIME),
            timedelta(seconds=STALE),
            Availability(self.noted, clock),
            clock,
        )
        self.history: dict[str, list[tuple[float, str | None]]] = {key: [(0.0, None)] for key in KEYS}
        self.forgotten_at = dict.fromkeys(KEYS, 0.0)
        self.questions: list[tuple[float, bool]] = []

    @rule(
        key=st.sampled_from(KEYS),
        value=st.sampled_from(["1", "2", "3", None]),
        seconds=st.sampled_from([0.1, 0.5, 1.0, 2.0, 5.0, 31.0, 121.0]),
        keys=some_keys,
    )
    def work(self, key: str, value: str | None, seconds: float, keys: list[str]) -> None:
        """The source's content changes, time passes, and somebody asks."""
        self._change(key, value)
        self.time.pass_time(seconds)
        self._find(keys)

    @precondition(lambda self: self.source.away is None)
    @rule()
    def lose(self) -> None:
        """The source goes away."""
        self.source.away = "gone"

    @precondition(lambda self: self.source.away is not None)
    @rule()
    def mend(self) -> None:
        """The source is back."""
        self.source.away = None

    @rule(keys=some_keys)
    def forget(self, keys: list[str]) -> None:
        """Somebody found these answers wrong, and asks again."""
        self.time.pass_time(MOMENT)
        self.cache.forget(keys)
        for key in keys:
            self.forgotten_at[key] = self.time.seconds
        self._find(keys)

    def _change(self, key: str, value: str | None) -> None:
        self.time.pass_time(MOMENT)
        self.source.values.pop(key, None)
        if value is not None:
            self.source.values[key] = value
        self.history[key].append((self.time.seconds, value))

    def _find(self, keys: list[str]) -> None:
        self.time.pass_time(MOMENT)
        self.source.asked = []
        try:
            found = self.cache.find(keys)
        except DirectoryUnavailable:
            found = None
        asked = len(self.source.asked)
        assert asked <= 1
        if asked:
            self.questions.append((self.time.seconds, self.source.away is None))
        if found is None or found.stale:
            assert self._in_vain_lately()
        if found is not None:
            self._check(keys, found)

    @invariant()
    def going_and_coming_back_take_turns(self) -> None:
        """No event twice in a row."""
        kinds = [event.partition(":")[0] for event in self.noted.events]
        assert kinds == ["away", "back"] * (len(kinds) // 2) + ["away"] * (len(kinds) % 2)

    def _in_vain_lately(self) -> bool:
        """Whether the last question was in vain, and not longer ago than the longest pause."""
        asked_at, answered = self.questions[-1]
        return not answered and self.time.seconds < asked_at + LONGEST_PAUSE_SECONDS

    def _check(self, keys: list[str], found: Found[str]) -> None:
        for key in keys:
            value = found.values.get(key)
            lifetime = LIFETIME if value is not None else UNKNOWN_LIFETIME.total_seconds()
            oldest = self.time.seconds - (STALE if found.stale and value is not None else lifetime)
            if not found.stale:
                oldest = max(oldest, self.forgotten_at[key])
            assert value in self._said_since(key, oldest)

    def _said_since(self, key: str, oldest: float) -> set[str | None]:
        """Every value that the source had at some time from `oldest` on."""
        before = [value for at, value in self.history[key] if at <= oldest][-1:]
        return {*before, *(value for at, value in self.history[key] if at > oldest)}


CachedSourceMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestCachedSource = CachedSourceMachine.TestCase
