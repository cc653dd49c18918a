"""The breaker under every order of questions, answers and time."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shards.breaker import Breaker


def cool_down(tries: int) -> float:
    """Seconds that tell which try they are of."""
    return float(tries * 10)


def test_one_failure_alone_changes_nothing() -> None:
    """A connection that was cut while it was idle is no absence."""
    breaker = Breaker(4, cool_down)
    breaker.begin()
    assert not breaker.fail(0, probe=False)
    breaker.begin()
    assert not breaker.succeed(probe=False)
    breaker.begin()
    assert not breaker.fail(0, probe=False)

    assert not breaker.is_open


def test_the_cool_down_is_asked_for_each_try_in_vain() -> None:
    """It grows with them; an answer in between starts it anew."""
    breaker = Breaker(1, cool_down, threshold=1)
    assert breaker.fail(100, probe=False)
    assert breaker.probe_at == 110
    assert not breaker.fail(200, probe=breaker.begin())
    assert breaker.probe_at == 220
    assert breaker.succeed(probe=breaker.begin())
    assert breaker.fail(300, probe=False)

    assert breaker.probe_at == 310


class BreakerMachine(RuleBasedStateMachine):
    """Questions begin where they are permitted, and end in any order and way, against a plain model."""

    @initialize(limit=st.integers(1, 9), threshold=st.integers(1, 3))
    def build(self, limit: int, threshold: int) -> None:
        """Any limit, any threshold."""
        self.limit, self.threshold = limit, threshold
        self.breaker = Breaker(limit, cool_down, threshold)
        self.now = 0.0
        self.allowance = limit
        self.in_a_row = 0
        self.open_until: float | None = None
        self.tries = 0
        self.running: list[bool] = []

    def _permitted(self) -> bool:
        if self.open_until is None:
            return len(self.running) < self.allowance
        return len(self.running) < self.limit and self.now >= self.open_until and not any(self.running)

    @rule()
    def ask(self) -> None:
        """A question begins if the breaker lets it."""
        assert self.breaker.permits(len(self.running), self.now) == self._permitted()
        if self._permitted():
            self.running.append(self.breaker.begin())
            assert self.running[-1] == (self.open_until is not None)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        """A question is answered."""
        probe = self._end(data)
        closed = self.breaker.succeed(probe=probe)
        assert closed == probe
        if probe:
            self.open_until, self.tries, self.in_a_row, self.allowance = None, 0, 0, 1
        elif self.open_until is None:
            self.in_a_row, self.allowance = 0, min(self.limit, self.allowance * 2)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def miss(self, data: st.DataObject) -> None:
        """A question is not answered."""
        probe = self._end(data)
        opened = self.breaker.fail(self.now, probe=probe)
        was_closed = self.open_until is None
        self.in_a_row += was_closed
        assert opened == (was_closed and self.in_a_row == self.threshold)
        if opened or probe:
            self.tries += 1
            self.open_until = self.now + cool_down(self.tries)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        """A question ends without having been asked."""
        self.breaker.withdraw(probe=self._end(data))

    @rule(seconds=st.sampled_from([1.0, 10.0, 100.0]))
    def pass_time(self, seconds: float) -> None:
        """Cool-downs end."""
        self.now += seconds

    def _end(self, data: st.DataObject) -> bool:
        return self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        """Open or closed, how often in vain, and when it is next due by time alone."""
        assert self.breaker.is_open == (self.open_until is not None)
        assert self.breaker.tries == self.tries
        waits = self.open_until is not None and not any(self.running) and len(self.running) < self.limit
        due = max(0.0, self.open_until - self.now) if waits and self.open_until is not None else None
        assert self.breaker.seconds_to_probe(len(self.running), self.now) == due

    @invariant()
    def one_probe_at_a_time(self) -> None:
        """And never more questions than the limit."""
        assert sum(self.running) <= 1
        assert len(self.running) <= self.limit


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=150, stateful_step_count=40)
