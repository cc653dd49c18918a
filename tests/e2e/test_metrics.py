"""Metrics, health and `stats` of real workers: while they work, while a shard is away, while they leave."""

import json
import signal
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from tests.e2e.test_once import go_on, slow_job, wait_for_start
from tests.faults.test_sick_shard import heal, sicken
from tests.support.logging_state import logging_restored
from tests.support.private_server import free_port, free_ports
from tests.support.world import WorkerProcess, World, job, wait_until
from tests.support.worlds import MakeWorld, embedded
from worker.cli import build_app
from worker.metrics.names import METRICS

STATS_EACH_SECOND = '[metrics]\nstats_interval = "1s"\n'


class Asker:
    """Asks a worker at the port of its metrics."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def scrape(self) -> dict[tuple[str, ...], float]:
        """Every sample: by its name, then the values of its labels in the order of their names."""
        status, text = self.get("/metrics")
        assert status == 200
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, *series: str) -> float | None:
        """One sample's value, if it is there."""
        return self.scrape().get(series)


def stats(world: World) -> dict[str, Any]:
    """What `shardworker stats --json` prints."""
    with logging_restored():
        result = CliRunner().invoke(build_app(), ["stats", "--json", "--config", str(world.config_path)])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture
def sql_world(tmp_path: Path) -> Iterator[World]:
    with embedded(tmp_path, concurrency="2") as world:
        yield world


def test_a_worker_tells_of_its_work_of_a_shard_that_is_away_and_that_it_leaves(
    make_world: MakeWorld,
) -> None:
    """Each figure is what happened; whoever asks gets an answer all the while."""
    port = free_port()
    world = make_world(extra=f'{STATS_EACH_SECOND}listen = "127.0.0.1:{port}"\n')
    worker, asker = world.start_worker(), Asker(port)
    worker.wait_for_event("worker.started")
    wait_until(lambda: asks_in_vain(asker) is None, "an answer")
    sicken(world)
    world.send(slow_job(world, "slow", ["c-1"], 1), job("away", ["c-0"], rows=[{"order_no": 7}]))
    wait_for_start(world, 1)
    wait_until(lambda: asker.value("shardworker_lane_away", "s0") == 1, "a shard that is away")

    samples = asker.scrape()
    assert samples["shardworker_in_hand",] >= 1
    assert samples["shardworker_oldest_in_hand_seconds",] > 0
    assert samples["shardworker_lane_running", "s1"] == 1
    assert samples["shardworker_lane_away", "s1"] == 0
    assert samples["shardworker_breaker_openings_total", "s0"] >= 1
    assert samples["shardworker_parts_total", "away", "orders.insert"] >= 1
    assert asker.get("/healthz")[0] == asker.get("/readyz")[0] == 200
    assert asker.get("/nothing")[0] == 404

    worker.signal(signal.SIGTERM)
    wait_until(lambda: asker.get("/readyz")[0] == 503, "a worker that leaves")
    assert asker.get("/healthz")[0] == 200
    assert json.loads(asker.get("/status")[1])["leaving"] is True
    go_on(world)
    heal(world)
    assert worker.wait() == 0
    assert list((world.directory / "state" / "workers").iterdir()) == []


def asks_in_vain(asker: Asker) -> str | None:
    try:
        asker.get("/readyz")
    except OSError as error:
        return str(error)
    return None


def test_every_count_is_what_was_done(make_world: MakeWorld) -> None:
    """Good jobs, a refused one and no job at all: by outcome, with times, requests and depths."""
    port = free_port()
    world = make_world(extra=f'{STATS_EACH_SECOND}emf = true\nlisten = "127.0.0.1:{port}"\n')
    world.send(*(job(f"good-{number}", ["c-0", "c-1"]) for number in range(3)))
    world.send(job("refused", type="orders.stranger"), "no job")
    worker, asker = world.start_worker(), Asker(port)
    worker.wait_for_event("worker.started")
    world.wait_until_settled()
    settled = "shardworker_jobs_total"
    wait_until(lambda: asker.value(settled, "unanswered", "unknown") == 1, "the counts")
    failures = ("shardworker_queue_messages", "failures", "failure", "waiting")
    wait_until(lambda: asker.value(*failures) == 2, "the depth of the failure queue")

    samples = asker.scrape()
    assert samples[settled, "succeeded", "orders.insert"] == 3
    assert samples[settled, "rejected", "unknown"] == 1
    assert samples["shardworker_dead_letters_total",] == 2
    assert samples["shardworker_errors_total", "unknown_type"] == 1
    assert samples["shardworker_parts_total", "succeeded", "orders.insert"] == 6
    assert samples["shardworker_job_seconds_count", "orders.insert"] == 3
    assert samples["shardworker_queue_wait_seconds_count", "requests"] == 5
    assert samples["shardworker_database_seconds_total", "orders.insert"] > 0
    families = text_string_to_metric_families(asker.get("/metrics")[1])
    named = {family.name for family in families if not family.name.startswith("process_")}
    assert named <= {name.removesuffix("_total") for name in METRICS}
    if world.request_url.startswith("sqs"):
        assert samples["shardworker_sqs_requests_total", "ReceiveMessage"] >= 1
        assert samples["shardworker_sqs_requests_total", "SendMessageBatch"] >= 2
    assert_stats_lines_tell_it(worker)
    assert worker.stop() == 0


def assert_stats_lines_tell_it(worker: WorkerProcess) -> None:
    def total(name: str) -> int:
        return sum(line[name] for line in worker.events("worker.stats"))

    wait_until(lambda: total("interval_settled") == 5, "the lines of the figures")
    assert total("interval_failed") == 2
    assert total("interval_dead_lettered") == 2
    assert all("_aws" in line for line in worker.events("worker.stats"))


def test_stats_tells_of_two_workers_and_of_one_that_does_not_answer(sql_world: World) -> None:
    """Each is asked; of the one that stands still is shown what it wrote last."""
    world = sql_world
    workers = [world.start_worker(), world.start_worker()]
    for worker in workers:
        worker.wait_for_event("worker.started")
    world.send(slow_job(world, "slow", ["c-1"], 1))
    wait_for_start(world, 1)
    world.send(*(job(f"good-{number}") for number in range(4)))
    wait_until(lambda: len(world.results()) == 4, "the results")

    told = stats(world)
    assert {one["pid"] for one in told["workers"]} == {worker.process.pid for worker in workers}
    assert [one["answers"] for one in told["workers"]] == [True, True]
    assert sum(one["in_hand"] for one in told["workers"]) >= 1
    assert told["lanes"]["s1"] == {"waiting": 0, "running": 1, "breaker": "closed", "openings": 0}
    depths = {row["for"]: row["waiting"] for row in told["queues"]}
    assert depths["response"] >= 4
    assert depths["failure"] == 0

    workers[0].signal(signal.SIGSTOP)
    answers = {one["pid"]: one["answers"] for one in stats(world)["workers"]}
    workers[0].signal(signal.SIGCONT)
    assert answers == {workers[0].process.pid: False, workers[1].process.pid: True}
    go_on(world)
    for worker in workers:
        worker.signal(signal.SIGTERM)
    assert [worker.wait() for worker in workers] == [0, 0]


def test_two_instances_with_one_configuration_take_a_port_each(sql_world: World) -> None:
    """Of a range, each the first that is free; a third one does its work without."""
    first, second = free_ports(2)
    listen = {"SHARDWORKER__METRICS__LISTEN": f"127.0.0.1:{first}-{second}"}
    workers = []
    for _ in range(3):
        workers.append(sql_world.start_worker(**listen))
        workers[-1].wait_for_event("worker.started")
        wait_until(lambda: has_taken_its_port(workers[-1], (first, second)), "a port")

    pids = {json.loads(Asker(port).get("/status")[1])["pid"] for port in (first, second)}
    assert pids == {worker.process.pid for worker in workers[:2]}
    assert workers[2].wait_for_event("worker.metrics_failed")["address"] == f"127.0.0.1:{first}-{second}"
    for worker in workers:
        worker.signal(signal.SIGTERM)
    assert [worker.wait() for worker in workers] == [0, 0, 0]


def has_taken_its_port(worker: WorkerProcess, ports: tuple[int, ...]) -> bool:
    if worker.events("worker.metrics_failed"):
        return True
    for port in ports:
        try:
            if json.loads(Asker(port).get("/status")[1])["pid"] == worker.process.pid:
                return True
        except OSError:
            continue
    return False
