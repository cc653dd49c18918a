"""Scale-in protection: on while any worker of the machine runs a long handler call, two calls each time."""

import os
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.support.auto_scaling_calls import Calls
from worker.clock import Clock
from worker.ec2.protection import Protection, longest_running
from worker.status_file import StatusFile, WorkerStatus

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
AFTER = timedelta(minutes=10)
MINUTE = timedelta(minutes=1)


def status(at: datetime, in_hand: int, running_since: datetime | None = None) -> WorkerStatus:
    """How this process would stand as a worker."""
    return WorkerStatus(os.getpid(), "host:1", at, in_hand, {}, running_since)


class Machine:
    """Protection, and the length of the machine's longest call as the test says."""

    def __init__(self, calls: Calls) -> None:
        self.longest = timedelta()
        clock = Clock(random=lambda: 0.5)
        self.protection = Protection(calls, lambda: self.longest, AFTER, MINUTE, clock)
        self.due_at = 0.0

    def look(self, minutes: float) -> None:
        """The next look, at which the longest call has been running for so many minutes."""
        self.longest = minutes * MINUTE
        self.protection.turn(self.due_at)
        self.due_at = self.protection.due_at


def test_short_calls_cost_nothing() -> None:
    """One look at the group at the watcher's start, and no more."""
    calls = Calls()
    machine = Machine(calls)
    for minutes in (0, 1, 9.9, 0):
        machine.look(minutes)

    assert calls.made == ["membership"]


@given(st.lists(st.floats(0, 30), max_size=40))
def test_each_stretch_of_long_calls_costs_two(minutes: list[float]) -> None:
    """Whatever comes: protected when it begins, unprotected when it is over, in turn.

    Beside these, the group is asked for once in ten minutes, while one runs.
    """
    calls = Calls()
    machine = Machine(calls)
    for longest in [*minutes, 0.0]:
        machine.look(longest)
    long = [longest * MINUTE >= AFTER for longest in [0.0, *minutes, 0.0]]
    edges = [now for before, now in pairwise(long) if before != now]

    assert [call for call in calls.made if call != "membership"] == [
        "protect workers" if edge else "unprotect workers" for edge in edges
    ]
    assert calls.made.count("membership") <= 1 + min(len(minutes) / 10, sum(long))


def test_a_protection_that_an_earlier_watcher_left_is_taken_away() -> None:
    """Or the machine would never be chosen again."""
    calls = Calls(is_protected=True)
    Machine(calls).look(0)

    assert calls.made == ["membership", "unprotect workers"]


def test_what_fails_is_tried_again_later_and_later() -> None:
    """Not in each interval: the limit of calls is shared by the whole account."""
    calls = Calls(faults={"protect": ["Throttling"] * 12})
    machine = Machine(calls)
    for _ in range(14):
        machine.look(11)

    assert [call for call in calls.made if call != "membership"] == ["protect workers"] * 13
    assert machine.due_at > 600


def test_without_a_group_short_calls_cost_nothing() -> None:
    """A machine of its own cannot be protected, nor has it to be."""
    calls = Calls(group=None)
    machine = Machine(calls)
    for _ in range(100):
        machine.look(9)

    assert calls.made == ["membership"]


def test_a_machine_that_is_attached_to_a_group_later_is_protected_there() -> None:
    """While a long call runs, the group is asked for anew every ten minutes, and not more often."""
    calls = Calls(group=None)
    machine = Machine(calls)
    for _ in range(25):
        machine.look(60)
    assert calls.made == ["membership"] * 3
    calls.group = "workers"
    for _ in range(10):
        machine.look(60)

    assert calls.made[3:] == ["membership", "protect workers"]


def test_a_machine_that_is_moved_to_another_group_is_protected_anew() -> None:
    """By what the service answers: in the other group nobody has protected it."""
    calls = Calls()
    machine = Machine(calls)
    machine.look(11)
    calls.group, calls.is_protected = "others", False
    for _ in range(10):
        machine.look(11)
    machine.look(0)

    assert calls.made == [
        *("membership", "protect workers"),
        *("membership", "protect others", "unprotect others"),
    ]


def test_a_refusal_lets_the_group_be_asked_for_again() -> None:
    """`ValidationError`: the machine is not in that group, any more."""
    calls = Calls(faults={"unprotect": ["ValidationError"]})
    machine = Machine(calls)
    machine.look(11)
    calls.group, calls.is_protected = "others", False
    machine.look(0)
    machine.look(0)

    assert calls.made == ["membership", "protect workers", "unprotect workers", "membership"]


class TestLongestRunning:
    def test_is_that_of_all_workers_of_the_machine(self, tmp_path: Path) -> None:
        """Each one's file tells since when its longest call has been running."""
        for minutes in (7, 12, 9):
            StatusFile(tmp_path).write(status(NOON, 3, NOON - minutes * MINUTE))

        assert longest_running(tmp_path, NOON) == 12 * MINUTE

    def test_of_a_worker_that_tells_nothing_any_more_does_not_count(self, tmp_path: Path) -> None:
        """It hangs: the machine may go, the sooner the better."""
        StatusFile(tmp_path).write(status(NOON - MINUTE, 3, NOON - 7 * MINUTE))

        assert longest_running(tmp_path, NOON) == timedelta()

    def test_is_nothing_where_nothing_runs(self, tmp_path: Path) -> None:
        """No worker, or one that waits."""
        assert longest_running(tmp_path, NOON) == timedelta()
        StatusFile(tmp_path).write(status(NOON, 0))

        assert longest_running(tmp_path, NOON) == timedelta()
