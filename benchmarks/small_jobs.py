"""Small jobs through SQS: requests and CPU per job at a backlog, one job's latency, an idle worker's cost.

Run it with `make bench`. Requests are exact; CPU is good to some 20 % on a busy machine; seconds are for
orientation only. SQS is the project's stand-in on 127.0.0.1, the shards are three SQLite files.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.log_line import line_cpu_seconds
from tests.support.world import CUSTOMERS, WorkerProcess, World, job

JOBS = 2_000
SINGLE_JOBS = 20
IDLE_SECONDS = 60
SHORT_WAIT = timedelta(seconds=1)


def main() -> None:
    """Run the parts of the benchmark and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--latency-ms", type=float, default=0.0, help="added to each SQS request")
    parser.add_argument("--idle-seconds", type=int, default=IDLE_SECONDS)
    options = parser.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "eu-west-1"}
    with tempfile.TemporaryDirectory() as directory, sqs_server(options.latency_ms) as endpoint:
        queue = f"sqs+{endpoint}/000000000000"
        world = World(Path(directory), f"{queue}/requests", f"{queue}/responses", f"{queue}/failures")
        world_options(world)
        backlog(world, endpoint, options.jobs)
        idle_and_latency(world, endpoint, options.idle_seconds)
        world.close()


def world_options(world: World) -> None:
    """Run as a worker of production would: the default lease, so long polls of 20 s, and eight threads."""
    text = world.config_path.read_text().replace('lease = "9s"', 'lease = "120s"')
    world.config_path.write_text(text.replace("concurrency = 4", "concurrency = 8"))


@contextmanager
def sqs_server(latency_ms: float) -> Iterator[str]:
    """The stand-in as a process of its own, so that its CPU is not counted."""
    command = [
        sys.executable,
        "-m",
        "tests.support.sqs_server",
        "--port",
        "0",
        "--latency-ms",
        str(latency_ms),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        yield process.stdout.readline().strip()
        process.terminate()


def backlog(world: World, endpoint: str, count: int) -> None:
    """All jobs wait when the worker starts; it leaves when the last is settled."""
    world.send(*[small_job(number) for number in range(count)])
    before = requests(endpoint)
    started = time.perf_counter()
    worker = world.start_interpreter("--limit", str(count))
    status, cpu_seconds = wait_for_end(worker)
    wall_seconds = time.perf_counter() - started
    used = requests(endpoint) - before
    print(f"backlog of {count} jobs: exit {status}, {count / wall_seconds:.0f} jobs/s with start")
    print(f"  SQS requests per job   {sum(used.values()) / count:.3f}   {dict(used)}")
    print(f"  worker CPU per job     {cpu_seconds / count * 1000:.2f} ms (start included)")
    print_cost_of_log(worker, cpu_seconds / count)
    print_correctness(world, count)


def print_cost_of_log(worker: WorkerProcess, job_seconds: float) -> None:
    """The share of a job's CPU that its line takes, which is written anew for that in this process."""
    line = worker.events("job.done")[0]
    own = {name: value for name, value in line.items() if name not in {"ts", "level", "event"}}
    seconds = line_cpu_seconds(own)
    print(f"  of that its log line   {seconds * 1000:.3f} ms, {seconds / job_seconds * 100:.1f} %")


def print_correctness(world: World, count: int) -> None:
    """What must be nought: duplicates, losses, unanswered jobs."""
    rows = Counter(world.rows())
    answered = Counter(result["job_id"] for result in world.results())
    print(f"  rows {len(rows)} of {count}, doubled {sum(rows.values()) - len(rows)}")
    repeated = sum(answered.values()) - len(answered)
    print(f"  jobs answered {len(answered)} of {count}, answers repeated {repeated}")


def idle_and_latency(world: World, endpoint: str, idle_seconds: int) -> None:
    """One worker: jobs one at a time, then nothing to do."""
    world.response.ack(world.take_all(world.response))
    worker = world.start_interpreter()
    worker.wait_for_event("worker.started")
    waits = [one_job(world, number) for number in range(SINGLE_JOBS)]
    print(f"one job at a time, {SINGLE_JOBS} times: from sent to answered")
    print(f"  median {statistics.median(waits):.1f} ms, worst {max(waits):.1f} ms")
    before, cpu_before = requests(endpoint), cpu_of(worker.process.pid)
    time.sleep(idle_seconds)
    used, cpu = requests(endpoint) - before, cpu_of(worker.process.pid) - cpu_before
    print(f"idle for {idle_seconds} s: requests {dict(used)}, CPU {cpu / idle_seconds * 100:.2f} % of a core")
    worker.stop()


def one_job(world: World, number: int) -> float:
    """Milliseconds from before the job was sent until its result was accepted by the response queue."""
    job_id = f"job-{1_000_000 + number}"
    started = time.time()
    world.send(small_job(1_000_000 + number))
    while True:
        for delivery in world.response.receive(10, SHORT_WAIT, SHORT_WAIT):
            world.response.ack([delivery])
            if json.loads(delivery.body)["job_id"] == job_id:
                return (delivery.sent_at.timestamp() - started) * 1000


def small_job(number: int) -> dict[str, Any]:
    """A job of one customer and one row."""
    return job(
        f"job-{number}", [CUSTOMERS[number % len(CUSTOMERS)]], rows=[{"order_no": number, "note": "n"}]
    )


def requests(endpoint: str) -> Counter[str]:
    """How often each action was called so far, but for the benchmark's own looks."""
    with urllib.request.urlopen(f"{endpoint}/counts") as answer:  # noqa: S310 - 127.0.0.1
        counts = Counter(json.load(answer))
    del counts["GetQueueAttributes"]
    return counts


def wait_for_end(worker: WorkerProcess) -> tuple[int, float]:
    """The exit status of the process and the CPU seconds that it used, when it has left."""
    assert isinstance(worker.process, subprocess.Popen)  # noqa: S101 - it was started as an interpreter
    _, status, usage = os.wait4(worker.process.pid, 0)
    worker.process.returncode = os.waitstatus_to_exitcode(status)
    return worker.process.returncode, usage.ru_utime + usage.ru_stime


def cpu_of(pid: int) -> float:
    """The CPU seconds that a running process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
