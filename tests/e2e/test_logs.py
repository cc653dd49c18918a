"""The log of real workers: a reader that stands still stops nothing, and a trace goes the whole way."""

import json
import os
import signal
import subprocess
import sys

from tests.support.world import PATIENCE_SECONDS, ROOT, World, job
from tests.support.worlds import MakeWorld
from worker.transports.base import Attribute, Message

JOBS = 200
"""More lines than a pipe takes."""


def test_a_journal_that_takes_nothing_stops_no_job_no_lease_and_no_leaving(world: World) -> None:
    """Jobs are settled and the process leaves on SIGTERM, though nobody reads its standard output."""
    world.send(*(job(f"j-{number}", rows=[{"order_no": number}]) for number in range(JOBS)))
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "worker", "consume", "--config", str(world.config_path)]
    process = subprocess.Popen(command, stdout=writing, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    os.close(writing)
    try:
        world.wait_until_settled()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
        os.close(reading)

    assert sorted(number for number, _ in world.rows()) == list(range(JOBS))


TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
AWS_TRACE = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1"


def test_a_trace_stands_on_each_line_about_the_job_and_goes_on_with_its_result(make_world: MakeWorld) -> None:
    """By W3C's header on each queue, by AWS's on SQS: on the handler's own lines, and what is sent."""
    world = make_world(retry="max_attempts = 1")
    on_sqs = world.request_url.startswith("sqs")
    by_aws = Message(json.dumps(job("by-aws", type="orders.logged")), trace_header=AWS_TRACE)
    attributes = {"traceparent": Attribute("String", TRACEPARENT)}
    by_w3c = Message(json.dumps(job("by-w3c", type="orders.logged")), attributes)
    expected = {"by-w3c", "by-aws"} if on_sqs else {"by-w3c"}
    assert not world.request.send([by_w3c, by_aws] if on_sqs else [by_w3c])
    worker = world.start_worker()
    world.wait_until_settled()
    assert worker.stop() == 0

    traced = {(line["event"], line["job"]) for line in worker.log() if line.get("trace_id") == TRACE_ID}
    about_jobs = {(line["event"], line["job"]) for line in worker.log() if "job" in line}
    events = {"handler.log", "part.failed", "job.dead_lettered"}
    assert traced == about_jobs == {(event, job_id) for event in events for job_id in expected}
    for sent in (*world.take_all(world.response), *world.dead_letters()):
        if on_sqs and json.loads(sent.body)["job_id"] == "by-aws":
            assert sent.trace_header == AWS_TRACE
        else:
            assert sent.headers["traceparent"] == TRACEPARENT
