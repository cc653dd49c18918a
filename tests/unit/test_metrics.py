"""What is counted, and how it is told: the tally, Prometheus's form, how the process stands."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from shards.inbox import ContentConflict, Outcome, PartIdentity, Superseded
from tests.support.fakes import ManualTime
from tests.support.jobs import held_of
from tests.support.memory_queue import MemoryPlace, away, no_faults
from tests.support.observed import DONE, ObservedProcess
from worker.conclusion import Deferral
from worker.events import unknown_fields
from worker.metrics.names import METRICS
from worker.metrics.queue_depths import ASKING_SECONDS_MAXIMUM, Place, QueueDepths
from worker.metrics.state import LOOK_SECONDS_MAXIMUM
from worker.metrics.tally import BOUNDS_SECONDS, Tally
from worker.pulse import Pulse, Step, bind
from worker.reports import Away, Ended, Report, turn_outcome
from worker.transports.base import Depth, Faults, Message

IDENTITY = PartIdentity("job-1", "c-1", 1, "digest", 0, 1, "orders.insert", "acme", None)
METRICS_NAMES = {name.removesuffix("_total"): name for name in METRICS}
LANE_METRICS = {name for name in METRICS if "_lane_" in name or "breaker" in name}


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ObservedProcess]:
    with ExitStack() as stack:
        process = ObservedProcess(tmp_path)
        stack.callback(process.close)
        yield process


def samples(text: bytes) -> dict[tuple[str, ...], float]:
    """Every sample by its name, then its labels' values in the order of the labels' names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


class TestTally:
    def test_a_delivery_counts_by_type_and_outcome(self) -> None:
        """With its time in the database, and no error."""
        tally = Tally(["orders.insert"])
        tally.note_delivery("job.done", DONE)
        tally.note_delivery("job.done", DONE)

        assert tally.counts() == {
            ("shardworker_jobs_total", "orders.insert", "succeeded"): 2,
            ("shardworker_database_seconds_total", "orders.insert"): 0.04,
        }

    def test_names_that_senders_and_handlers_choose_make_no_series(self) -> None:
        """A type without a handler is unknown, a code that is not ours is another."""
        tally = Tally(["orders.insert"])
        for number in range(50):
            strange = {"type": f"t{number}", "outcome": "failed", "error_code": f"own_{number}"}
            tally.note_delivery("job.dead_lettered", {**DONE, **strange})
            tally.note_part(f"t{number}", "failed")
        tally.note_delivery("job.dead_lettered", {**DONE, "type": None, "error_code": "bad_message"})
        counts = tally.counts()

        assert counts["shardworker_jobs_total", "unknown", "failed"] == 50
        assert counts["shardworker_errors_total", "other"] == 50
        assert counts["shardworker_errors_total", "bad_message"] == 1
        assert counts[("shardworker_dead_letters_total",)] == 51
        assert counts["shardworker_parts_total", "unknown", "failed"] == 50

    def test_a_dry_run_is_no_job(self) -> None:
        """What it fails with is no error of ours; its time in the database is time all the same."""
        tally = Tally(["orders.insert"])
        tally.note_delivery(
            "job.done", {**DONE, "dry_run": True, "outcome": "failed", "error_code": "unique_violation"}
        )

        assert tally.counts() == {
            ("shardworker_dry_runs_total", "orders.insert", "failed"): 1,
            ("shardworker_database_seconds_total", "orders.insert"): 0.02,
        }
        assert [series[0] for series in tally.histograms()] == ["shardworker_queue_wait_seconds"]

    def test_a_copy_s_time_in_the_database_counts_once(self) -> None:
        """The job ran once for both deliveries."""
        tally = Tally(["orders.insert"])
        tally.note_delivery("job.done", DONE)
        tally.note_delivery("job.done", {**DONE, "copy": True})

        assert tally.counts()["shardworker_database_seconds_total", "orders.insert"] == 0.02

    def test_what_comes_again_neither_waited_for_a_worker_nor_is_done(self) -> None:
        """The one would make every absence of a shard a lack of workers, the other make jobs look fast."""
        tally = Tally(["orders.insert"])
        tally.note_delivery("job.released", {**DONE, "outcome": "released", "receive_count": 2})

        assert tally.histograms() == {}

    def test_a_retried_part_is_an_attempt(self) -> None:
        """What waits for its shard is none."""
        tally = Tally(["orders.insert"])
        for outcome in ("retried", "away", "deferred", "succeeded"):
            tally.note_part("orders.insert", outcome)

        assert tally.counts()["shardworker_attempts_total", "orders.insert"] == 1

    @given(st.lists(st.floats(0, 100_000), max_size=30))
    def test_a_histogram_has_each_value_in_the_first_bucket_that_holds_it(self, seconds: list[float]) -> None:
        """Whatever was observed: as many at most a bound as there are, and their sum."""
        tally = Tally(["orders.insert"])
        for one in seconds:
            tally.note_delivery("job.done", {**DONE, "total_ms": one * 1000})
        found = tally.histograms().get(("shardworker_job_seconds", "orders.insert"))

        if found is None:
            assert seconds == []
            return
        rounded = [one * 1000 / 1000 for one in seconds]
        for position, bound in enumerate(BOUNDS_SECONDS):
            assert sum(found.buckets[: position + 1]) == sum(one <= bound for one in rounded)
        assert sum(found.buckets) == len(seconds)
        assert found.sum == pytest.approx(sum(seconds))


@pytest.mark.parametrize(
    ("report", "outcome"),
    [
        (Ended(Outcome("succeeded", 1, b"")), "succeeded"),
        (Ended(Outcome("failed", 1, b"")), "failed"),
        (Deferral(timedelta(), "handler_error", 2), "retried"),
        (Deferral(timedelta(), "busy"), "deferred"),
        (Away(), "away"),
        (ContentConflict(IDENTITY), "conflict"),
        (Superseded(2), "superseded"),
    ],
)
def test_each_turn_of_a_part_has_a_word_that_the_list_tells(report: Report, outcome: str) -> None:
    """And a handler's counted failure is told from a wait."""
    assert turn_outcome(report) == outcome
    assert outcome in METRICS["shardworker_parts_total"].meaning


class TestExposition:
    def test_each_metric_of_the_list_can_be_told_and_no_other(self, process: ObservedProcess) -> None:
        """With the labels that the list gives it: Prometheus's own parser reads them."""
        tally, lanes = process.tally, process.assembly.lanes
        tally.note_delivery("job.dead_lettered", {**DONE, "error_code": "bad_message"})
        tally.note_delivery("job.done", {**DONE, "dry_run": True})
        tally.note_part("orders.insert", "retried")
        tally.note_request("sqs", "ReceiveMessage")
        tally.note_request("s3", "GetObject")
        tally.note_bytes("read", 10)
        lanes.admit("eu1")
        process.depths.latest = {Place("requests", "request"): Depth(3, 2, 1)}
        told = {
            family.name: family
            for family in text_string_to_metric_families(process.exposition.text().decode())
            if not family.name.startswith("process_")
        }
        unlabelled = {"le"}

        assert {METRICS_NAMES[name] for name in told} >= set(METRICS) - LANE_METRICS
        for name, family in told.items():
            metric = METRICS[METRICS_NAMES[name]]
            assert family.type == metric.kind
            assert family.documentation == metric.meaning
            for sample in family.samples:
                assert set(sample.labels) - unlabelled == set(metric.labels)

    def test_what_is_in_hand_is_read_when_it_is_asked_for(self, process: ObservedProcess) -> None:
        """With the age of the oldest."""
        held = held_of("{}")
        held.started_at = process.time.seconds
        process.assembly.leases.keep([held])
        process.time.pass_time(7)
        told = samples(process.exposition.text())

        assert told["shardworker_oldest_in_hand_seconds",] == 7
        assert told["shardworker_in_hand_max",] == process.assembly.room.capacity
        assert told["shardworker_info", "host:1", "1.2"] == 1

    def test_a_histogram_ends_with_all(self, process: ObservedProcess) -> None:
        """Its buckets grow, and the last one has every value."""
        for total_ms in (1, 40, 10**9):
            process.tally.note_delivery("job.done", {**DONE, "total_ms": total_ms})
        told = samples(process.exposition.text())
        bucket = "shardworker_job_seconds_bucket"

        bounds = ("0.005", "0.05", "3600.0", "+Inf")
        assert [told[bucket, bound, "orders.insert"] for bound in bounds] == [1, 2, 2, 3]
        assert told["shardworker_job_seconds_count", "orders.insert"] == 3


class TestState:
    def test_a_process_whose_main_thread_no_longer_looks_does_not_move(
        self, process: ObservedProcess
    ) -> None:
        """It would say for ever what it saw last."""
        seen = [process.state.moves]
        process.time.pass_time(LOOK_SECONDS_MAXIMUM + 1)
        seen.append(process.state.moves)
        process.watch.all_move()
        assert [*seen, process.state.moves] == [True, False, True]

    def test_a_process_of_which_a_thread_hangs_does_not_move(self, process: ObservedProcess) -> None:
        """Until it moves again."""
        now = process.time.seconds
        process.pulse.step = Step("settles", now - 10, now - 10, 1.0)
        with capture_logs():
            process.watch.all_move()
        assert not process.state.moves
        assert process.state.status().hanging == [threading.current_thread().name]

    def test_a_process_that_leaves_is_not_ready(self, process: ObservedProcess) -> None:
        """It moves all the same."""
        process.assembly.stop.set()
        assert (process.state.ready, process.state.status().leaving) == (False, True)
        assert process.state.moves


class TestQueueDepths:
    def test_a_queue_that_does_not_answer_has_no_depth_and_the_others_have(self) -> None:
        """Until it answers again."""
        place = MemoryPlace()
        requests, failures = place.transport("requests"), place.transport("failures")
        requests.send([Message("a"), Message("b")])
        queues = {Place("requests", "request"): requests, Place("failures", "failure"): failures}
        depths = QueueDepths(queues, timedelta(minutes=1), threading.Event())
        depths.ask()
        assert depths.latest == {
            Place("requests", "request"): Depth(2, 0, 0),
            Place("failures", "failure"): Depth(0, 0, 0),
        }
        failures.interfere = away
        depths.ask()
        assert depths.latest == {Place("requests", "request"): Depth(2, 0, 0)}

    def test_a_queue_that_is_silent_hides_no_other(self) -> None:
        """What the others said is known while it is waited for, and it has a time of its own to answer in."""
        place = MemoryPlace()
        first, silent, last = (place.transport(name) for name in ("first", "silent", "last"))
        queues = {Place(queue.name, "request"): queue for queue in (first, silent, last)}
        depths = QueueDepths(queues, timedelta(minutes=1), threading.Event())
        depths.ask()
        first.send([Message("a")])
        time = ManualTime()
        pulse = Pulse(time.clock.monotonic)
        seen: list[tuple[Mapping[Place, Depth], bool]] = []

        def be_silent(_action: str, _batch: Sequence[object]) -> Faults:
            time.pass_time(ASKING_SECONDS_MAXIMUM - 1)
            seen.append((depths.latest, pulse.step.hangs(time.seconds)))
            return {}

        silent.interfere = last.interfere = be_silent

        def ask() -> None:
            bind(pulse)
            depths.ask()

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        assert [found[Place("first", "request")].waiting for found, _ in seen] == [1, 1]
        assert [hangs for _, hangs in seen] == [False, False]

    def test_an_error_that_nobody_expects_is_logged_ever_more_rarely_and_ends_nothing(self) -> None:
        """The first time, the tenth, the hundredth; and anew after an answer."""
        place = MemoryPlace()
        broken, good = place.transport("broken"), place.transport("good")
        queues = {Place(queue.name, "request"): queue for queue in (broken, good)}
        depths = QueueDepths(queues, timedelta(minutes=1), threading.Event())

        def fail(_action: str, _batch: Sequence[object]) -> Faults:
            raise ZeroDivisionError

        with capture_logs() as lines:
            broken.interfere = fail
            for _ in range(99):
                depths.ask()
            assert depths.latest == {Place("good", "request"): Depth(0, 0, 0)}
            assert [(line["event"], line["queue"]) for line in lines] == [
                ("worker.metrics_failed", "broken")
            ] * 2
            broken.interfere = no_faults
            depths.ask()
            broken.interfere = fail
            depths.ask()
        assert len(lines) == 3
        assert not unknown_fields("worker.metrics_failed", frozenset(lines[0]) - {"log_level", "exc_info"})
