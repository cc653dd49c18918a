"""The failure queue, whole: workers that bury, and operators who look, retry, remove and answer again."""

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import Any

from typer.testing import CliRunner, Result

from tests.support.logging_state import logging_restored
from tests.support.world import ROOT, World, job, wait_until, without_times
from tests.support.worlds import MakeWorld
from worker.cli import build_app
from worker.transports.base import Message


def command(world: World, *arguments: str) -> Result:
    """Run a command of the worker's on the world, in this process."""
    with logging_restored():
        return CliRunner().invoke(build_app(), [*arguments, "--config", str(world.config_path)])


def lines(world: World, *arguments: str) -> list[dict[str, Any]]:
    """The JSON lines that a command prints; it ends well."""
    done = command(world, *arguments)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def break_shard(world: World, *, mended: bool = False) -> None:
    """Take a column of the shard of `c-1` away, or give it back."""
    old, new = ("gone", "customer_id") if mended else ("customer_id", "gone")
    with closing(sqlite3.connect(world.directory / "s1.db")) as connection:
        connection.execute(f"ALTER TABLE orders RENAME COLUMN {old} TO {new}")


def work(world: World, jobs: int) -> None:
    """Let a worker settle so many messages."""
    assert world.start_worker("--limit", str(jobs)).wait() == 0


def fail_one_part(world: World, job_id: str = "mixed") -> str:
    """A job of two customers, one of which fails for a defect; its dead letter's id."""
    customers = [
        {"customer_id": customer, "payload": {"rows": [{"order_no": number}]}}
        for number, customer in enumerate(["c-0", "c-1"])
    ]
    break_shard(world)
    world.send(job(job_id, customers))
    work(world, 1)
    break_shard(world, mended=True)
    (letter,) = world.dead_letters()
    return letter.message_id


def test_a_retry_runs_what_failed_and_nothing_else(make_world: MakeWorld) -> None:
    """The part that succeeded keeps its outcome; the one final result of run 2 says that all is done."""
    world = make_world(retry="max_attempts = 1")
    letter = fail_one_part(world)
    (first,) = world.results()
    (listed,) = lines(world, "failed", "list", "--json", "--code", "schema_defect")
    (sent,) = lines(world, "failed", "retry", letter, "--json")
    work(world, 1)
    _, second = world.results()

    assert (listed["id"], listed["answered"], first["status"]) == (letter, True, "partial")
    assert (sent["run"], sent["queue"]) == (2, "requests")
    assert (second["run"], second["status"]) == (2, "succeeded")
    assert second["customers"][0] == first["customers"][0]
    assert sorted(world.rows()) == [(0, "c-0"), (1, "c-1")]
    assert {row["customer_id"]: row["run"] for row in world.inbox("mixed")} == {"c-0": 1, "c-1": 2}
    assert world.dead_letters() == []
    assert world.request.depth() == (0, 0, 0)


def test_without_a_retry_a_failure_stays_one(make_world: MakeWorld) -> None:
    """The same message again, now that it would succeed: the same failure, the same answer."""
    world = make_world(retry="max_attempts = 1")
    fail_one_part(world)
    (letter,) = world.dead_letters()
    world.request.send([Message(letter.body)])
    work(world, 1)
    first, again = world.results()

    assert without_times(first) == without_times(again)
    assert world.rows() == [(0, "c-0")]
    assert len(world.dead_letters()) == 2


def test_a_second_copy_of_the_same_failure_does_nothing_new(make_world: MakeWorld) -> None:
    """As a crash between sending and deleting leaves it: both retries ask for run 2, which is done once."""
    world = make_world(retry="max_attempts = 1")
    fail_one_part(world)
    (letter,) = world.dead_letters()
    world.failure.send([Message(letter.body, letter.attributes)])
    sent = lines(world, "failed", "retry", "--all", "--json")
    work(world, 2)
    _, *again = world.results()

    assert [line["run"] for line in sent] == [2, 2]
    assert again
    assert all(without_times(one) == without_times(again[0]) for one in again)
    assert (again[0]["run"], again[0]["status"]) == (2, "succeeded")
    assert sorted(world.rows()) == [(0, "c-0"), (1, "c-1")]
    assert world.dead_letters() == []


def test_two_operators_at_once_retry_each_failure(make_world: MakeWorld) -> None:
    """Two commands race for forty failures: each is sent, and whichever was sent twice is done once."""
    world = make_world(retry="max_attempts = 1")
    break_shard(world)
    world.send(*[job(f"job-{number}", ["c-1"], rows=[{"order_no": number}]) for number in range(40)])
    work(world, 40)
    break_shard(world, mended=True)
    line = [sys.executable, "-m", "worker", "failed", "retry", "--all", "--config", str(world.config_path)]
    operators = [subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    sent = [line for operator in operators for line in operator.communicate(timeout=60)[0].splitlines()]
    worker = world.start_worker()
    world.wait_until_settled()
    assert worker.stop() == 0

    assert sum("sent to requests as run 2" in line for line in sent) >= 40
    assert world.dead_letters() == []
    assert sorted(world.rows()) == [(number, "c-1") for number in range(40)]
    assert {result["status"] for result in world.results() if result["run"] == 2} == {"succeeded"}


def test_a_command_that_is_killed_loses_nothing(make_world: MakeWorld) -> None:
    """Killed between two messages: what was sent is sent, everything else is still a failure."""
    world = make_world(retry="max_attempts = 1")
    break_shard(world)
    world.send(*[job(f"job-{number}", ["c-1"], rows=[{"order_no": number}]) for number in range(3)])
    work(world, 3)
    line = [sys.executable, "-m", "worker", "failed", "retry", "--all", "--rate", "0.1"]
    operator = subprocess.Popen([*line, "--config", str(world.config_path)], cwd=ROOT, stdout=subprocess.PIPE)
    wait_until(lambda: world.request.depth().waiting == 1, "the first message")
    wait_until(lambda: world.failure.depth().leased >= 1, "the second in hand")
    operator.send_signal(signal.SIGKILL)
    operator.communicate(timeout=60)

    depth = world.failure.depth()
    assert depth.waiting + depth.leased in {2, 3}
    assert world.request.depth() == (1, 0, 0)


def test_a_command_meets_none_of_its_own_work(make_world: MakeWorld) -> None:
    """A worker refuses the same message at once, again and again: the command ends all the same."""
    world = make_world()
    world.send(*["no job"] * 5)
    worker = world.start_worker()
    wait_until(lambda: world.failure.depth().waiting == 5, "five dead letters")
    sent = lines(world, "failed", "retry", "--all", "--json")
    world.wait_until_settled()
    assert worker.stop() == 0

    assert len(sent) == 5
    assert len(world.dead_letters()) == 5


def test_what_a_redrive_policy_moved_is_shown_and_retried(make_world: MakeWorld) -> None:
    """Without a word of ours on it, after it had failed or not: the same run, answered then."""
    world = make_world()
    world.failure.send([Message(json.dumps(job("moved", rows=[{"order_no": 7}])))])
    (listed,) = lines(world, "failed", "list", "--json")
    shown = command(world, "failed", "show", listed["id"])
    lines(world, "failed", "retry", listed["id"], "--json")
    work(world, 1)

    assert (listed["job_id"], listed["code"], listed["reason"]) == ("moved", None, None)
    assert "order_no" in shown.stdout
    assert [(result["run"], result["status"]) for result in world.results()] == [(1, "succeeded")]


def test_a_job_of_a_dead_letter_that_went_to_the_bucket_runs_again(make_world: MakeWorld) -> None:
    """Its body left no room for the reason: the retry refers to it, and the worker fetches it."""
    world = make_world(retry="max_attempts = 1")
    bucket = world.directory / "claims"
    bucket.mkdir()
    text = world.config_path.read_text()
    world.config_path.write_text(
        text.replace("[queues]\n", f'[queues]\nclaim_check_bucket = "file://{bucket}"\n', 1)
    )
    break_shard(world)
    world.send(json.dumps(job("large", ["c-1"], rows=[{"order_no": 1, "note": "x"}])).ljust(2**20 - 50))
    work(world, 1)
    break_shard(world, mended=True)
    (letter,) = world.dead_letters()
    lines(world, "failed", "retry", letter.message_id, "--json")
    work(world, 1)

    assert len(letter.body) < 1000
    assert world.rows() == [(1, "c-1")]


def test_the_result_is_sent_again_as_the_worker_sent_it(make_world: MakeWorld) -> None:
    """Byte for byte, but for the two times."""
    world = make_world(retry="max_attempts = 1")
    break_shard(world)
    world.send(job("lost", ["c-3", "c-1", "c-0"], correlation_id="caf\u00e9", rows=[{"order_no": 5}]))
    work(world, 1)
    (sent,) = world.take_all(world.response)
    assert command(world, "answer", "lost").exit_code == 0
    again = [one.body for one in world.take_all(world.response) if one.message_id != sent.message_id]

    assert json.loads(sent.body)["status"] == "partial"
    assert [without_last_times(body) for body in again] == [without_last_times(sent.body)]


def without_last_times(body: str) -> str:
    """The text of a result without its two times."""
    fields = json.loads(body)
    return body.replace(fields["received_at"], "").replace(fields["finished_at"], "")
