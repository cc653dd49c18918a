"""FIFO queues with real workers: each group in order and each effect once, whoever dies or is away."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.test_sick_shard import SICK, heal, sicken
from tests.support.chains import Chains, Step, by_chain, fifo_world, shard_of
from tests.support.world import WorkerProcess, wait_until


@pytest.fixture
def chains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chains]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with fifo_world(tmp_path) as chains:
        yield chains


def test_a_thousand_messages_in_fifty_groups_keep_their_order_when_a_worker_is_killed(chains: Chains) -> None:
    """Two workers with eight threads each; every step once, every answer once, all in their chain's order."""
    steps = [Step(chain, number) for number in range(20) for chain in range(50)]
    chains.send_steps(steps)
    doomed, other = chains.start_worker(), chains.start_worker()
    wait_until(lambda: len(chains.answered()) >= 300, "answers before the kill")
    doomed.signal(signal.SIGKILL)
    doomed.wait()
    wait_until(lambda: len(chains.answered()) >= len(steps), "all answers", pause_seconds=0.1)
    chains.wait_until_settled()

    assert other.stop() == 0
    assert by_chain(chains.done()) == by_chain(steps)
    assert sorted(chains.answered()) == sorted(step.job_id for step in steps)
    answered = [Step(*map(int, job_id.split("-")[1:])) for job_id in chains.answered()]
    assert by_chain(answered) == by_chain(steps)
    assert chains.stored("failures") == []


def test_the_groups_of_a_shard_that_is_away_wait_in_order_and_the_others_go_on(chains: Chains) -> None:
    """Their heads wait, with nothing behind them in hand; when it is back, each goes on from its head."""
    steps = [Step(chain, number) for number in range(6) for chain in range(9)]
    well = [step for step in steps[9:] if shard_of(step.chain) != SICK]
    chains.send_steps(steps[:9])
    first = chains.start_worker()
    wait_until(lambda: len(chains.answered()) >= 9, "the first answers")
    assert first.stop() == 0
    sicken(chains)
    chains.send_steps(steps[9:])
    worker = chains.start_worker()
    wait_until(lambda: len(chains.answered()) >= 9 + len(well), "the other shards' answers")
    wait_until(lambda: "group_waits" in released_by(worker), "what waits behind those heads to go back")
    heal(chains)
    chains.wait_until_settled()

    assert worker.stop() == 0
    assert by_chain(chains.done()) == by_chain(steps)
    assert sorted(chains.answered()) == sorted(step.job_id for step in steps)
    assert released_by(worker) <= {"group_waits", "shard_away"}


def released_by(worker: WorkerProcess) -> set[str]:
    """Why it gave messages back."""
    return {line["error_code"] for line in worker.events("job.released")}
