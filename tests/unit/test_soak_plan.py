"""The plan of a soak: the same seed makes the same jobs and the same faults, and both of every kind."""

import os
import subprocess
import sys
from itertools import islice

from tests.soak.fate import ObjectFates, call_fates, message_fate
from tests.soak.kinds import WEIGHTS
from tests.soak.plan import CALM_AFTER, CALM_BEFORE, Plan, make_plan, sizes_of
from tests.support.world import ROOT

PRINT_DIGEST = """
from tests.soak.plan import make_plan, sizes_of
print(make_plan(3, sizes_of(500, 50, 20)).digest)
"""


def small_plan(seed: int) -> Plan:
    return make_plan(seed, sizes_of(500, 50, 20))


def test_two_plans_of_one_seed_are_equal() -> None:
    """Jobs, their order and endings, files and events are a function of the seed and the sizes."""
    assert small_plan(3) == small_plan(3)
    assert small_plan(3) != small_plan(4)


def test_another_process_makes_the_same_plan() -> None:
    """Nothing in a plan depends on the process that makes it, such as the order of its sets."""
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PRINT_DIGEST]
    told = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert told.stdout.strip() == small_plan(3).digest


def test_fates_are_a_function_of_the_seed_too() -> None:
    """What happens to the so many-th copy of a message, call of an action or request for an object."""
    for seed in (1, 2):
        assert message_fate(seed, "body", 2) == message_fate(seed, "body", 2)
        first, second = (list(islice(call_fates(seed, "SendMessageBatch"), 500)) for _ in range(2))
        assert first == second
        one, other = ObjectFates(seed), ObjectFates(seed)
        keys = [f"key-{number % 40}" for number in range(400)]
        assert list(map(one.next, keys)) == list(map(other.next, keys))
    assert list(islice(call_fates(1, "SendMessageBatch"), 500)) != first


def test_a_plan_has_jobs_of_every_kind() -> None:
    """Good and bad ones; no kind is too rare to come in a soak of full length."""
    kinds = {case.kind for case in make_plan(1, sizes_of(2_000, 0, 0)).cases}
    assert len(kinds) == len(WEIGHTS)


def test_every_message_is_sent_and_every_event_comes_while_jobs_are_under_way() -> None:
    """Each body of each case stands in the stream once; events begin and end while jobs are under way."""
    plan = small_plan(5)
    sent = [plan.cases[sending.case].bodies[sending.body] for sending in plan.stream]
    assert sorted(sent) == sorted(body for case in plan.cases for body in case.bodies)
    assert [case for case in plan.cases if case.job_id is None or len(case.bodies) > 1]
    after = [event.after for event in plan.events]
    assert after == sorted(after)
    assert 500 * CALM_BEFORE <= after[0] <= after[-1] <= 500 * CALM_AFTER
    counted = [event.way for event in plan.events if event.target == "worker"]
    assert counted.count("kill") == 50
