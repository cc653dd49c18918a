"""FIFO queues with real workers: each group in order and each effect once, whoever dies or is away."""

import signal
from pathlib import Path

import pytest

from tests.faults.test_sick_shard import SICK, heal, sicken
from tests.support.chains import Step, by_chain, fifo_world, shard_of
from tests.support.queue_backends import ShiftedClock
from tests.support.world import WorkerProcess, wait_until


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


def test_a_thousand_messages_in_fifty_groups_keep_their_order_when_a_worker_is_killed(
    tmp_path: Path,
) -> None:
    """Two workers with eight threads each; every step once, every answer once, all in their chain's order.

    When one is killed all leases end, those of the other, which does not know, as well.
    """
    clock = ShiftedClock()
    steps = [Step(chain, number) for number in range(20) for chain in range(50)]
    with fifo_world(tmp_path, clock) as chains:
        chains.send_steps(steps)
        doomed, other = chains.start_worker(), chains.start_worker()
        chains.wait_for_answers(300)
        doomed.signal(signal.SIGKILL)
        doomed.wait()
        chains.server.act("requests.fifo", lambda: clock.pass_time(31))
        chains.wait_until_settled()

        assert chains.stop(other) == 0
        assert by_chain(chains.done()) == by_chain(steps)
        assert sorted(chains.answered()) == sorted(step.job_id for step in steps)
        answered = [Step(*map(int, job_id.split("-")[1:])) for job_id in chains.answered()]
        assert by_chain(answered) == by_chain(steps)
        assert chains.stored("failures") == []


def test_the_groups_of_a_shard_that_is_away_wait_in_order_and_the_others_go_on(tmp_path: Path) -> None:
    """Their heads wait, with nothing behind them in hand; when it is back, each goes on from its head."""
    steps = [Step(chain, number) for number in range(5) for chain in range(9)]
    well = [step for step in steps if shard_of(step.chain) != SICK]
    with fifo_world(tmp_path) as chains:
        sicken(chains)
        chains.send_steps(steps)
        worker = chains.start_worker()
        chains.wait_for_answers(len(well))
        wait_until(lambda: "group_waits" in released_by(worker), "what waits behind those heads to go back")
        heal(chains)
        chains.wait_until_settled()

        assert chains.stop(worker) == 0
        assert by_chain(chains.done()) == by_chain(steps)
        assert sorted(chains.answered()) == sorted(step.job_id for step in steps)


def test_who_waits_behind_a_killer_is_not_blamed_for_it(tmp_path: Path) -> None:
    """Received as often, each time by a process that dies: its one start is the one that ends."""
    clock = ShiftedClock()
    with fifo_world(tmp_path, clock, retry="suspect_receives = 2\nmax_starts = 1") as chains:
        chains.send_killer(Step(0, 0))
        chains.send_steps([Step(0, 1), Step(0, 2)])
        for _ in range(2):
            assert chains.start_worker().wait() == -signal.SIGKILL
            clock.pass_time(31)
        survivor = chains.start_worker()
        chains.wait_until_settled()

        assert chains.stop(survivor) == 0
        assert chains.done() == [Step(0, 1), Step(0, 2)]
        own_starts = [row["starts"] for step in (1, 2) for row in chains.inbox(f"step-0-{step}")]
        assert own_starts == [1, 1]
        codes = [line["error_code"] for line in survivor.events("job.dead_lettered")]
        assert codes == ["worker_killed"]


def released_by(worker: WorkerProcess) -> set[str]:
    """Why it gave messages back."""
    return {line["error_code"] for line in worker.events("job.released")}
