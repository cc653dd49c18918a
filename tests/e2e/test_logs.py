"""The log of real workers: a reader that stands still stops nothing, and a trace goes the whole way."""

import os
import signal
import subprocess
import sys

from tests.support.world import PATIENCE_SECONDS, ROOT, World, job

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
