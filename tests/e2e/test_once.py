"""Once: however often a job is delivered, to however many workers, and wherever one is killed."""

import signal
import time
from pathlib import Path
from typing import Any

from config.headers import read_own_header
from tests.support.world import CUSTOMERS, World, job, wait_until, without_times
from tests.support.worlds import MakeWorld


def slow_job(world: World, job_id: str, customers: list[str], first_row: int) -> dict[str, Any]:
    """A job whose handler waits for the file `go-on` after its insert."""
    entries = [
        {"customer_id": customer, "payload": _slow_payload(world.directory, first_row + number)}
        for number, customer in enumerate(customers)
    ]
    return job(job_id, entries, type="orders.slow")


def _slow_payload(directory: Path, order_no: int) -> dict[str, Any]:
    return {
        "rows": [{"order_no": order_no}],
        "started": str(directory / "started"),
        "go_on": str(directory / "go-on"),
    }


def go_on(world: World) -> None:
    """Let the waiting handlers return."""
    (world.directory / "go-on").touch()


def wait_for_start(world: World, count: int = 1) -> None:
    """Wait until so many handlers have inserted and wait."""
    wait_until(lambda: len(list(world.directory.glob("started.*"))) >= count, f"{count} started handlers")


class TestCopies:
    def test_twenty_deliveries_to_two_workers_insert_once_and_answer_alike(self, world: World) -> None:
        """The same job twenty times to two processes at once: its rows once, equal answers, nothing left."""
        one = job("copies", list(CUSTOMERS[:6]), rows=[{"order_no": 1}])
        one["customers"] = [
            {"customer_id": customer, "payload": {"rows": [{"order_no": number}]}}
            for number, customer in enumerate(CUSTOMERS[:6])
        ]
        workers = [world.start_worker(), world.start_worker()]
        for worker in workers:
            worker.wait_for_event("worker.started")
        world.send(*[one] * 20)
        world.wait_until_settled()
        assert [worker.stop() for worker in workers] == [0, 0]

        assert sorted(world.rows()) == [(number, CUSTOMERS[number]) for number in range(6)]
        results = world.results()
        assert results
        assert all(without_times(result) == without_times(results[0]) for result in results)
        assert results[0]["status"] == "succeeded"
        assert world.dead_letters() == []

    def test_a_copy_of_a_running_job_waits_for_it(self, make_world: MakeWorld) -> None:
        """While one worker runs the part, another's copy is busy: released, never failed or doubled."""
        world = make_world()
        world.send(slow_job(world, "long", ["c-0"], 1))
        first = world.start_worker()
        wait_for_start(world)
        world.send(slow_job(world, "long", ["c-0"], 1))
        second = world.start_worker()
        second.wait_for_event("worker.started")
        go_on(world)
        world.wait_until_settled()
        assert [first.stop(), second.stop()] == [0, 0]

        assert world.rows() == [(1, "c-0")]
        results = world.results()
        assert {result["status"] for result in results} == {"succeeded"}
        assert world.dead_letters() == []
        (row,) = world.inbox("long")
        assert row["attempt"] == 0


class TestKills:
    def test_a_killed_worker_leaves_nothing_half_done(self, make_world: MakeWorld) -> None:
        """SIGKILL inside handlers: the next worker does what is left, and each row stands once."""
        world = make_world(lease="3s")
        quick = [job(f"quick-{number}", rows=[{"order_no": 100 + number}]) for number in range(10)]
        world.send(*quick, slow_job(world, "slow", ["c-0", "c-1", "c-2"], 1))
        first = world.start_worker()
        wait_for_start(world, 3)
        first.signal(signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
        assert [number for number, _ in world.rows() if number < 100] == []

        go_on(world)
        second = world.start_worker()
        world.wait_until_settled()
        assert second.stop() == 0
        assert sorted(number for number, _ in world.rows()) == [1, 2, 3, *range(100, 110)]
        assert {result["job_id"] for result in world.results()} == {"slow", *(one["job_id"] for one in quick)}

    def test_what_was_committed_before_the_kill_is_not_done_again(self, make_world: MakeWorld) -> None:
        """One part committed, another ran when the worker was killed: only the other runs again."""
        world = make_world(lease="3s")
        parts = [
            {
                "customer_id": "c-0",
                "payload": {"rows": [{"order_no": 1}], "started": "/dev/null", "go_on": "/"},
            },
            {"customer_id": "c-1", "payload": _slow_payload(world.directory, 2)},
        ]
        parts[0]["payload"]["started"] = str(world.directory / "begun")  # type: ignore[index]
        world.send(job("half", parts, type="orders.slow"))
        first = world.start_worker()
        wait_for_start(world)
        wait_until(lambda: world.rows() == [(1, "c-0")], "the first part's commit")
        first.signal(signal.SIGKILL)
        first.wait()
        go_on(world)
        second = world.start_worker()
        world.wait_until_settled()
        assert second.stop() == 0

        assert world.rows() == [(1, "c-0"), (2, "c-1")]
        assert len(list(world.directory.glob("begun.*"))) == 1
        (result,) = world.results()
        assert result["status"] == "succeeded"

    def test_a_part_that_kills_its_process_again_and_again_is_failed(self, make_world: MakeWorld) -> None:
        """From the suspicious receive on each start is counted; after three the part fails."""
        world = make_world(lease="3s", retry="suspect_receives = 2")
        world.send(job("killer", type="orders.killer"))
        statuses = []
        for _ in range(6):
            worker = world.start_worker("--limit", "1")
            statuses.append(worker.wait())
            if statuses[-1] == 0:
                break
        assert statuses == [-signal.SIGKILL] * 4 + [0]

        (result,) = world.results()
        assert result["customers"][0]["error"]["code"] == "worker_killed"
        (letter,) = world.dead_letters()
        assert read_own_header(letter.headers).code == "worker_killed"


class TestLostLeases:
    def test_a_worker_that_slept_through_its_lease_neither_doubles_nor_acks(
        self, make_world: MakeWorld
    ) -> None:
        """Suspended until its lease ran out, it finds that out: it commits once and acks nothing."""
        world = make_world(lease="3s")
        world.send(slow_job(world, "zombie", ["c-0"], 1))
        sleeper = world.start_worker()
        wait_for_start(world)
        sleeper.signal(signal.SIGSTOP)
        other = world.start_worker()
        wait_until(lambda: bool(other.events("job.released")), "the other worker to find the part busy")
        go_on(world)
        sleeper.signal(signal.SIGCONT)
        sleeper.wait_for_event("lease.lost")
        world.wait_until_settled()
        assert [sleeper.stop(), other.stop()] == [0, 0]

        assert world.rows() == [(1, "c-0")]
        results = world.results()
        assert all(without_times(result) == without_times(results[0]) for result in results)
        assert {result["status"] for result in results} == {"succeeded"}
        assert world.dead_letters() == []


class TestStops:
    def test_sigterm_finishes_what_runs_and_gives_the_rest_back(self, make_world: MakeWorld) -> None:
        """The drain: running parts end and are answered, what did not start is on the queue again at once."""
        world = make_world(concurrency="1")
        world.send(slow_job(world, "running", ["c-0"], 1))
        worker = world.start_worker()
        wait_for_start(world)
        world.send(*[slow_job(world, f"waiting-{number}", ["c-0"], 10 + number) for number in range(5)])
        wait_until(lambda: world.request.depth().leased == 6, "all six in hand")
        worker.signal(signal.SIGTERM)
        worker.wait_for_event("worker.stopping")
        wait_until(lambda: world.request.depth().waiting == 5, "five given back")
        go_on(world)

        assert worker.wait() == 0
        assert [result["job_id"] for result in world.results()] == ["running"]
        assert world.request.depth() == (5, 0, 0)
        assert worker.events("worker.stopped")[0]["abandoned"] == 0

    def test_a_second_signal_gives_everything_back_at_once(self, world: World) -> None:
        """The second signal does not wait for what runs: its message is visible again, without rows."""
        world.send(slow_job(world, "stuck", ["c-0"], 1))
        worker = world.start_worker()
        wait_for_start(world)
        worker.signal(signal.SIGTERM)
        worker.wait_for_event("worker.stopping")
        worker.signal(signal.SIGINT)

        assert worker.wait() == 0
        assert world.request.depth() == (1, 0, 0)
        assert world.rows() == []
        assert world.results() == []

    def test_the_drain_ends_at_its_deadline(self, make_world: MakeWorld) -> None:
        """A handler that does not return in time does not keep the process: its message is given back."""
        world = make_world(drain="500ms")
        world.send(slow_job(world, "stuck", ["c-0"], 1))
        worker = world.start_worker()
        wait_for_start(world)

        assert worker.stop() == 0
        assert world.request.depth() == (1, 0, 0)
        assert worker.events("worker.stopped")[0]["abandoned"] == 1

    def test_the_time_limit_drains(self, world: World) -> None:
        """After its time limit the worker leaves by itself, and leaves nothing behind."""
        world.send(job("one", rows=[{"order_no": 1}]))
        worker = world.start_worker("--time-limit", "2s")

        assert worker.wait() == 0
        assert world.rows() == [(1, "c-0")]
        assert worker.events("worker.stopping")[0]["reason"] == "time limit"

    def test_the_limit_counts_settled_jobs_and_takes_no_more(self, world: World) -> None:
        """With --limit 3 of 8 jobs, three are settled and five were never taken."""
        world.send(*[job(f"job-{number}", rows=[{"order_no": number}]) for number in range(8)])

        assert world.start_worker("--limit", "3").wait() == 0
        assert len(world.rows()) == 3
        assert world.request.depth() == (5, 0, 0)

    def test_no_job_longer_than_its_lease_nor_one_behind_it_is_delivered_twice(
        self, make_world: MakeWorld
    ) -> None:
        """Leases are renewed while a handler runs, of what waits for its turn too: nobody else gets them."""
        world = make_world(lease="15s", concurrency="1")
        world.send(*(slow_job(world, f"long-{number}", ["c-0"], number) for number in range(6)))
        worker, other = world.start_worker(), world.start_worker()
        wait_for_start(world)
        wait_until(lambda: world.request.depth() == (0, 6, 0), "six leased messages")
        other.wait_for_event("worker.started")
        a_lease_later = time.monotonic() + world.settings.worker.lease.total_seconds() + 1
        wait_until(lambda: time.monotonic() > a_lease_later, "a lease to pass")
        go_on(world)
        world.wait_until_settled()
        assert [worker.stop(), other.stop()] == [0, 0]

        done = [line for one in (worker, other) for line in one.events("job.done")]
        assert [line["receive_count"] for line in done] == [1] * 6
