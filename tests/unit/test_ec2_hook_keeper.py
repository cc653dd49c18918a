"""The hook's keeper: which hook, when heartbeats are due, and how the completion is tried again."""

import math
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.settings import Ec2
from tests.support.auto_scaling_calls import OURS, Calls
from worker.clock import Clock
from worker.ec2.auto_scaling import AutoScalingFault, Hook
from worker.ec2.hook_keeper import REFUSAL_PATIENCE_SECONDS, HookKeeper, find_hook

OTHERS = Hook("workers", "ship-logs", timedelta(hours=1))
CLOCK = Clock(random=lambda: 0.5)


def keeper(calls: Calls, **settings: Any) -> HookKeeper:
    return HookKeeper(calls, Ec2(**settings), CLOCK)


def run(one: HookKeeper, until: float, *, drained: bool, start: float = 0.0) -> float:
    """Take turns when they are due, until a moment; the moment of the next."""
    if drained:
        one.let_go()
    now = start
    while (due_at := max(now, one.due_at)) <= until:
        one.turn(now := due_at)
    return due_at


class TestHeartbeats:
    def test_come_at_once_and_then_thrice_in_each_timeout(self) -> None:
        """At once, for a watcher that was started anew does not know when the last one was."""
        calls = Calls()

        assert run(keeper(calls), until=1499, drained=False) == 1500
        assert calls.made == ["membership", "hooks workers", *["heartbeat drain"] * 5]

    def test_that_fail_are_tried_again_soon(self) -> None:
        """Not a third of the timeout later, when it may be too late."""
        calls = Calls(faults={"heartbeat": ["ValidationError", "Throttling"]})

        assert 300 < run(keeper(calls), until=10, drained=False) < 310
        assert calls.made.count("heartbeat drain") == 3


class TestCompletion:
    def test_is_due_at_once_when_the_drain_is_over(self) -> None:
        """The next heartbeat is not waited for, and nothing comes after it."""
        calls = Calls()
        one = keeper(calls)
        run(one, until=10, drained=False)

        assert run(one, until=11, drained=True, start=11) == math.inf
        assert one.is_settled
        assert calls.made[-1] == "complete drain"

    def test_is_tried_again_until_it_is_done(self) -> None:
        """A day of errors is no reason to let the machine hang; the pauses grow to half a minute at most."""
        calls = Calls(faults={"complete": ["EndpointConnectionError"] * 3000})
        one = keeper(calls)
        with capture_logs() as lines:
            assert run(one, until=100_000, drained=True) == math.inf

        assert one.is_settled
        assert calls.made.count("complete drain") == 3001
        failed = [line for line in lines if line["event"] == "ec2.hook_failed"]
        assert [line["tries"] for line in failed] == [1, 10, 100, 1000]
        assert {line["log_level"] for line in failed} == {"error"}

    def test_is_given_up_when_it_was_refused_for_minutes(self) -> None:
        """Nothing waits for it: somebody else completed it, or the machine had never been in service."""
        calls = Calls(faults={"complete": ["ValidationError"] * 3000})
        one = keeper(calls)
        with capture_logs() as lines:
            due_at = run(one, until=REFUSAL_PATIENCE_SECONDS - 31, drained=True)
            assert due_at < math.inf
            due_at = run(one, until=REFUSAL_PATIENCE_SECONDS + 31, drained=True, start=due_at)

        assert due_at == math.inf
        assert lines[-1]["delay_ms"] is None

    def test_refusals_between_other_faults_are_not_for_good(self) -> None:
        """Five minutes without a break, or they mean nothing."""
        calls = Calls(faults={"complete": ["ValidationError", "Throttling"] * 50})
        run(one := keeper(calls), until=10_000, drained=True)

        assert one.is_settled
        assert calls.made.count("complete drain") == 101

    def test_waits_until_the_hook_can_be_found(self) -> None:
        """The workers are not waited for: they stop meanwhile."""
        calls = Calls(faults={"membership": ["NoCredentialsError"] * 4})
        run(one := keeper(calls), until=100, drained=True)

        assert one.is_settled
        assert calls.made == [*["membership"] * 5, "hooks workers", "complete drain"]


class TestFinding:
    def test_the_group_s_only_hook_is_ours(self) -> None:
        """Where it is not named."""
        assert find_hook(Calls(), Ec2()) == OURS

    def test_of_several_hooks_the_named_one_is_ours(self) -> None:
        """Another's must not be completed for it."""
        assert find_hook(Calls(found=[OTHERS, OURS]), Ec2(hook="drain")) == OURS

    def test_of_several_hooks_none_is_guessed(self) -> None:
        """The message says what to configure."""
        with pytest.raises(
            AutoScalingFault, match=r"\(ship-logs, drain\): name the workers' in \[ec2\] hook"
        ):
            find_hook(Calls(found=[OTHERS, OURS]), Ec2())

    @pytest.mark.parametrize(
        ("calls", "settings"), [(Calls(group=None), {}), (Calls(found=[]), {}), (Calls(), {"hook": "other"})]
    )
    def test_without_a_hook_nothing_is_called(self, calls: Calls, settings: dict[str, str]) -> None:
        """No group, no hook in it, or none of that name: there is nothing to complete."""
        one = keeper(calls, **settings)

        assert run(one, until=0, drained=False) == math.inf
        assert one.is_settled
        assert not [call for call in calls.made if call.startswith(("heartbeat", "complete"))]

    def test_a_named_hook_of_a_named_group_needs_no_right_to_ask(self) -> None:
        """Then its timeout is not known, and the shortest that there can be is taken for it."""
        calls = Calls(faults={"hooks": ["AccessDenied"]})

        assert find_hook(calls, Ec2(group="workers", hook="drain")) == OURS._replace(
            heartbeat_timeout=timedelta(seconds=30)
        )
        assert calls.made == ["hooks workers"]
