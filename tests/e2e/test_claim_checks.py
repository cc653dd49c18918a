"""Claim checks, whole: a job and a result that are too large for their queues go by way of a bucket."""

import json
from pathlib import Path
from urllib.parse import urlparse

from tests.support.world import CUSTOMERS, World, job
from tests.support.worlds import MakeWorld

POINTER = "software.amazon.payloadoffloading.PayloadS3Pointer"


def with_claim_checks(world: World) -> str:
    """Let the world's worker follow and write claim checks in a bucket of their own; the bucket."""
    directory = world.directory / "claims"
    directory.mkdir()
    bucket = f"file://{directory}"
    text = world.config_path.read_text()
    lines = f'[queues]\nclaim_check_bucket = "{bucket}"\nclaim_check_buckets = ["{bucket}"]\n'
    world.config_path.write_text(text.replace("[queues]\n", lines, 1))
    return bucket


def test_a_large_job_comes_and_a_large_result_goes_by_claim_check(make_world: MakeWorld) -> None:
    """The job's body is fetched and left in its bucket; the result on the queue points to the whole one."""
    world = make_world()
    bucket = with_claim_checks(world)
    stored = Path(urlparse(bucket).path) / "jobs" / "large.json"
    stored.parent.mkdir()
    stored.write_text(json.dumps(job("large", CUSTOMERS, type="orders.verbose")))
    world.send(json.dumps([POINTER, {"s3BucketName": bucket, "s3Key": "jobs/large.json"}]))

    assert world.start_worker("--limit", "1").wait() == 0
    (delivery,) = world.take_all(world.response)
    kind, pointer = json.loads(delivery.body)
    assert (kind, pointer["s3BucketName"], pointer["s3Key"]) == (POINTER, bucket, "results/large/1.json")
    result = json.loads((Path(urlparse(bucket).path) / pointer["s3Key"]).read_text())
    assert [entry["result"]["customer"] for entry in result["customers"]] == list(CUSTOMERS)
    assert stored.exists()
    assert world.dead_letters() == []
