"""The departure: what is asked of the workers when, however long they take and whatever the reason is."""

import math
import queue
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from config.settings import Ec2
from tests.support.auto_scaling_calls import PATIENCE_SECONDS, Calls
from tests.support.fakes import ManualTime
from worker.clock import Clock
from worker.ec2 import departure
from worker.ec2.aside import Aside
from worker.ec2.departure import Departure
from worker.ec2.notices import Leaving

SETTINGS = Ec2(stop_command=["stop"], hurry_command=["hurry"])
LIMIT_SECONDS = SETTINGS.drain_limit.total_seconds()
MARGIN_SECONDS = SETTINGS.release_margin.total_seconds()
SCALE_IN = Leaving("lifecycle", "Terminated", None, "Terminated")
ROUNDING = 1e-3
AT_ONCE = Aside("calls", lambda: None, start=threading.Thread.run)
durations = st.floats(0, 2 * LIMIT_SECONDS)


class Machine:
    """A machine whose workers take so long to stop, and so long when they are hurried; nothing is run."""

    def __init__(
        self,
        leaving: Leaving,
        drain_seconds: float,
        hurried_seconds: float = math.inf,
        aside: Aside = AT_ONCE,
    ) -> None:
        self.time = ManualTime()
        self.start = self.time.seconds
        self.asked: dict[str, float] = {}
        self.takes = {"stop": drain_seconds, "hurry": hurried_seconds}
        self.calls = Calls()
        machine = self

        class Errand:
            """Notes when it was first due."""

            def __init__(self, command: Sequence[str], _tell: Callable[[], None], _clock: Clock) -> None:
                self.command = command[0]

            def turn(self, now: float) -> float:
                """What was asked for is noted; when the workers will have stopped is known."""
                machine.asked.setdefault(self.command, now - machine.start)
                return machine.start + machine.stopped_at()

            @property
            def is_done(self) -> bool:
                """Both end with the workers."""
                return machine.passed >= machine.stopped_at() - ROUNDING

        with patch.object(departure, "Errand", Errand):
            self.departure = Departure(
                leaving, SETTINGS, self.calls, self.time.clock, tell=lambda: None, calls=aside
            )

    @property
    def passed(self) -> float:
        """Seconds since the beginning."""
        return self.time.seconds - self.start

    def stopped_at(self) -> float:
        """When the workers have stopped, in seconds from the beginning, by what was asked of them so far."""
        ways = [self.asked[verb] + seconds for verb, seconds in self.takes.items() if verb in self.asked]
        return min(ways, default=math.inf)

    def run(self, until_seconds: float = math.inf) -> None:
        """Take turns when they are due, until nothing is left to do or until then."""
        while (due_at := self.departure.turn(self.time.seconds)) < self.start + until_seconds:
            self.time.seconds = max(due_at, self.time.seconds)
        if until_seconds < math.inf:
            self.time.seconds = self.start + until_seconds


def spot(machine_time: ManualTime, seconds: float, hook_state: str | None = None) -> Leaving:
    return Leaving("spot", "terminate", machine_time.clock.now() + timedelta(seconds=seconds), hook_state)


@given(drain_seconds=durations, hurried_seconds=durations)
def test_a_scale_in_waits_for_the_drain_up_to_its_limit(drain_seconds: float, hurried_seconds: float) -> None:
    """Stopped at once, hurried only when time gets short, the hook completed once and never early."""
    machine = Machine(SCALE_IN, drain_seconds, hurried_seconds)
    machine.run()

    assert machine.asked["stop"] == 0
    assert ("hurry" in machine.asked) == (drain_seconds > LIMIT_SECONDS - MARGIN_SECONDS)
    assert machine.calls.made.count("complete drain") == 1
    assert machine.passed >= min(machine.stopped_at(), LIMIT_SECONDS) - ROUNDING
    assert machine.passed <= LIMIT_SECONDS + 1


@given(notice_seconds=st.floats(0, 120), drain_seconds=durations)
def test_a_spot_notice_leaves_time_to_give_back(notice_seconds: float, drain_seconds: float) -> None:
    """Hurried at the margin before the end, or at once where the notice came late; no hook is called."""
    machine = Machine(spot(ManualTime(), notice_seconds), drain_seconds)
    machine.run()
    hurry_at = max(0.0, notice_seconds - MARGIN_SECONDS)

    assert machine.asked["stop"] == 0
    if hurry_at + ROUNDING < min(drain_seconds, notice_seconds):
        assert machine.asked["hurry"] <= hurry_at + ROUNDING
    assert machine.passed <= max(notice_seconds, MARGIN_SECONDS) + ROUNDING
    assert machine.calls.made == []


@given(late_seconds=st.floats(0, 3600), hurried_seconds=st.floats(0.1, MARGIN_SECONDS - 1))
def test_a_spot_notice_whose_time_is_over_hurries_at_once_and_still_waits(
    late_seconds: float, hurried_seconds: float
) -> None:
    """Seen late, or by a clock that is ahead: the workers get their margin, and the hook waits for them."""
    machine = Machine(spot(ManualTime(), -late_seconds, "Terminated"), math.inf, hurried_seconds)
    with capture_logs() as lines:
        machine.run()

    assert machine.asked == {"stop": 0, "hurry": 0}
    assert machine.passed >= hurried_seconds - ROUNDING
    assert machine.calls.made.count("complete drain") == 1
    assert [line["event"] for line in lines if line["log_level"] == "error"] == []


def test_workers_are_hurried_also_where_the_turn_came_after_the_end() -> None:
    """A watcher that was held up past the deadline tells the workers before it lets the machine go."""
    machine = Machine(spot(ManualTime(), 120), drain_seconds=math.inf)
    machine.run(1)
    machine.time.seconds = machine.start + 500
    machine.run()

    assert machine.asked == {"stop": 0, "hurry": 500}
    assert machine.departure.is_drained


@given(seen_after_seconds=st.floats(0, 3000))
def test_a_spot_notice_shortens_a_scale_in_that_goes_on(seen_after_seconds: float) -> None:
    """The workers are hurried by the new deadline, and the hook is the same one still."""
    machine = Machine(SCALE_IN, drain_seconds=math.inf, hurried_seconds=1)
    machine.run(seen_after_seconds)
    machine.departure.follow(spot(machine.time, 120, "Terminated"))
    machine.run()

    assert machine.asked["hurry"] <= seen_after_seconds + 120 - MARGIN_SECONDS + ROUNDING
    assert machine.calls.made.count("membership") == 1
    assert machine.calls.made.count("complete drain") == 1


def test_each_way_out_has_its_own_completion() -> None:
    """Into the warm pool, and later out of it: two waits of the hook, two completions."""
    machine = Machine(Leaving("lifecycle", "Warmed:Running", None, "Warmed:Running"), drain_seconds=5)
    machine.run()
    machine.departure.follow(Leaving("lifecycle", "Warmed:Terminated", None, "Warmed:Terminated"))
    machine.run()

    assert machine.calls.made.count("complete drain") == 2
    assert list(machine.asked) == ["stop"]


def test_calls_that_are_not_answered_hold_up_nothing_but_the_hook() -> None:
    """The workers are hurried on the second; the hook is completed once Auto Scaling answers."""
    ends: queue.SimpleQueue[None] = queue.SimpleQueue()
    notice = spot(ManualTime(), 120, "Terminated")
    machine = Machine(notice, math.inf, hurried_seconds=1, aside=Aside("calls", lambda: ends.put(None)))
    machine.calls.answers.clear()
    machine.run()

    assert machine.asked == {"stop": 0, "hurry": 120 - MARGIN_SECONDS}
    assert machine.departure.is_drained
    assert machine.calls.made == ["membership"]
    machine.calls.answers.set()
    while "complete drain" not in machine.calls.made:
        ends.get(timeout=PATIENCE_SECONDS)
        machine.run()
    assert machine.calls.made == ["membership", "hooks workers", "complete drain"]


def test_workers_that_do_not_stop_are_told_of_and_waited_for_no_longer() -> None:
    """The machine goes at the limit."""
    machine = Machine(SCALE_IN, drain_seconds=math.inf)
    with capture_logs() as lines:
        machine.run()

    overdue = [line for line in lines if line["event"] == "ec2.drain_overdue"]
    assert [line["took_ms"] for line in overdue] == [round(LIMIT_SECONDS * 1000)]
    assert machine.departure.is_drained


def test_the_second_signal_is_the_workers_alone() -> None:
    """The default names each unit's main process, not handlers' children, and no unit that has none."""
    assert {"--kill-whom=main", "--state=active,deactivating"} < set(Ec2().hurry_command)
