"""Running results of real workers: a partner who asks meanwhile can be told how far the job is."""

from tests.e2e.test_once import go_on, slow_job, wait_for_start
from tests.faults.test_sick_shard import heal, sicken
from tests.support.world import CUSTOMERS, job, wait_until
from tests.support.worlds import MakeWorld

SOON = 'running_interval = "1s"'


def test_a_long_job_tells_how_far_it_is(make_world: MakeWorld) -> None:
    """One part is done and two run: so it is told, then the final result comes."""
    world = make_world(worker=SOON)
    long = slow_job(world, "long", ["c-0", "c-1"], 1)
    quick = {"rows": [{"order_no": 3}], "started": str(world.directory / "begun"), "go_on": "/"}
    long["customers"].append({"customer_id": "c-2", "payload": quick})
    world.send(long)
    worker = world.start_worker()
    wait_for_start(world, 2)
    done = {"done": 1, "total": 3}
    wait_until(lambda: [one["progress"] for one in world.running_results()][-1:] == [done], "the progress")
    go_on(world)
    world.wait_until_settled()
    assert worker.stop() == 0
    assert [result["status"] for result in world.results()] == ["succeeded"]
    assert {tuple(one["waiting"]) for one in world.running_results()} == {()}


def test_a_job_that_waits_for_a_shard_names_who_waits(make_world: MakeWorld) -> None:
    """Two of three customers are done, the third one's shard is away: told at once; then final."""
    world = make_world(worker=SOON)
    sicken(world)
    world.send(job("wide", CUSTOMERS[:3], rows=[{"order_no": 1}]))
    worker = world.start_worker()
    told = {"progress": {"done": 2, "total": 3}, "waiting": ["c-0"]}
    wait_until(lambda: any(told.items() <= one.items() for one in world.running_results()), "who waits")
    heal(world)
    world.wait_until_settled()
    assert worker.stop() == 0
    assert [result["status"] for result in world.results()] == ["succeeded"]
    assert [row["attempt"] for row in world.inbox("wide")] == [0, 0, 0]
