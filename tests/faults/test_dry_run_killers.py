"""A dry run that kills its workers, on a FIFO queue: found out, answered, and nobody behind it is blamed."""

import json
from functools import partial
from pathlib import Path

import pytest

from tests.support.chains import Chains, Step, fifo_world, job_of
from tests.support.queue_backends import ShiftedClock
from tests.support.world import WorkerProcess, wait_until
from worker.transports.base import Message

WORKERS_MAXIMUM = 6


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


def has_ended(worker: WorkerProcess, chains: Chains) -> bool:
    """Whether the worker died, or left nothing to be done."""
    return worker.process.poll() is not None or not chains.stored("requests")


def test_a_dry_run_that_kills_comes_to_an_end_and_its_group_goes_on(tmp_path: Path) -> None:
    """Set apart at its second receive: those behind it go on, a dry run among them; then it is told."""
    clock = ShiftedClock()
    with fifo_world(tmp_path, clock, retry="suspect_receives = 2\nmax_starts = 1") as chains:
        killer = {**job_of(Step(0, 0)), "type": "orders.killer", "dry_run": True}
        innocent = {**job_of(Step(0, 1)), "dry_run": True}
        for body in (killer, innocent):
            assert not chains.request.send([Message(json.dumps(body), group="chain-0")])
        chains.send_steps([Step(0, 2)])
        for _ in range(WORKERS_MAXIMUM):
            worker = chains.start_worker()
            wait_until(partial(has_ended, worker, chains), "the worker's death or the last answer")
            if worker.process.poll() is None:
                break
            clock.pass_time(31)

        assert chains.stop(worker) == 0
        ends = {result["job_id"]: (result["status"], result["dry_run"]) for result in chains.results()}
        assert ends == {
            "step-0-0": ("failed", True),
            "step-0-1": ("succeeded", True),
            "step-0-2": ("succeeded", False),
        }
        codes = [
            end["error"]["code"] for one in chains.results() for end in one["customers"] if "error" in end
        ]
        assert codes == ["worker_killed"]
        assert chains.done() == [Step(0, 2)]
        assert chains.stored("failures") == []
