"""An urgent queue beside one whose jobs last: a real worker process keeps a thread for what is urgent."""

import json
from pathlib import Path
from typing import Any

from tests.support.world import HOMES, World, job, wait_until
from worker.transports.base import Message
from worker.transports.factory import open_transport

BULK_JOBS = 4


def lasting(number: int, directory: Path) -> dict[str, Any]:
    """A bulk job that runs until the file `go_on` is there; each is of another customer of the shard `s0`."""
    customers = [customer for customer, shard in HOMES.items() if shard == "s0"]
    files = {"started": str(directory / f"bulk-{number}"), "go_on": str(directory / "go_on")}
    rows = [{"order_no": 100 + number}]
    return job(f"bulk-{number}", [customers[number]], type="orders.slow", rows=rows, payload=files)


def test_an_urgent_job_does_not_wait_for_bulk_that_lasts(embedded_world: World) -> None:
    """One of two threads is kept for it, however many of the others wait."""
    world = embedded_world
    bulk_url = world.request_url.replace("=requests", "=bulk")
    text = world.config_path.read_text().replace(
        f'request = ["{world.request_url}"]', f'request = ["{world.request_url}", "{bulk_url}"]'
    )
    world.config_path.write_text(text)
    bulk = open_transport(bulk_url, world.settings.queues, world.settings.worker.lease)
    bulk.create()
    bodies = [json.dumps(lasting(number, world.directory)) for number in range(BULK_JOBS)]
    assert bulk.send([Message(body) for body in bodies]) == {}
    worker = world.start_worker("--concurrency", "2")
    wait_until(lambda: bool(list(world.directory.glob("bulk-*.c-*"))), "a bulk job that runs")

    world.send(job("urgent", ["c-1"]))
    wait_until(lambda: bool(world.results()), "the urgent job's result")
    answered = [result["job_id"] for result in world.results()]
    begun = len(list(world.directory.glob("bulk-*.c-*")))
    (world.directory / "go_on").touch()
    wait_until(lambda: len(world.results()) == BULK_JOBS + 1, "all results")

    assert (answered, begun) == (["urgent"], 1)
    assert {result["status"] for result in world.results()} == {"succeeded"}
    assert worker.stop() == 0
    assert bulk.depth() == (0, 0, 0)
    bulk.close()
