"""A job in hand: however its parts end, and whoever joins or stops it, it concludes once and rightly."""

import itertools
import json
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from config.result import error_of, failed, succeeded
from shards.inbox import Outcome
from tests.support.fakes import ManualTime
from tests.support.jobs import envelope_of, held_of, job_fields, placement_of
from worker.attachments import FetchedAttachments
from worker.conclusion import Answer, Bury, Conclusion, Deferral, Discard, Reason, Return
from worker.job_in_hand import PARTS_IN_LANES_MAXIMUM, JobInHand, Part, shutdown_deferral
from worker.routing import part_identities

SOON = Deferral(timedelta(seconds=5), "busy")
LATER = Deferral(timedelta(seconds=60), "shard_away")
TAKEN = None


class Stage:
    """A job in hand with its parts in a lane that only notes them, and its conclusions."""

    def __init__(self, customers: int = 3, answer: Deferral | None = TAKEN) -> None:
        self.time = ManualTime()
        names = [f"c-{number}" for number in range(customers)]
        self.held = held_of(job_fields(customers=names))
        envelope = envelope_of(self.held)
        self.concluded: list[Conclusion] = []
        self.offered: list[Part] = []
        self.answer = answer
        self.job = JobInHand(envelope, self.held, self.time.clock, lambda _, end: self.concluded.append(end))
        requests = envelope.job.part_requests()
        self.job.parts = tuple(
            Part(self.job, request, identity, placement_of(request.customer_id))
            for request, identity in zip(requests, part_identities(envelope, requests), strict=True)
        )

    def offer(self, part: Part) -> Deferral | None:
        """The lane."""
        if self.answer is None:
            self.offered.append(part)
        return self.answer

    def start(self) -> None:
        """Let the parts go."""
        self.job.start(self.offer)

    def end(self, part_no: int, outcome: Outcome | None = None) -> None:
        """A part has its outcome."""
        part = self.job.parts[part_no]
        self.job.part_ended(part, outcome or success(part))


def success(part: Part, value: object = None) -> Outcome:
    return Outcome("succeeded", 1, succeeded(part.request.customer_id, value))


def failure(
    part: Part, code: str = "unique_violation", *, dead_letter: bool = False, attempt: int = 0
) -> Outcome:
    body = failed(part.request.customer_id, error_of(code, "It failed."))
    return Outcome("failed", 1, body, dead_letter, attempt)


def answer_of(stage: Stage) -> Answer:
    (conclusion,) = stage.concluded
    assert isinstance(conclusion, Answer)
    return conclusion


def test_a_job_is_answered_when_its_last_part_has_ended() -> None:
    """Not before, and in the job's order, whatever the order of the ends."""
    stage = Stage()
    stage.start()
    for part_no in (2, 0):
        stage.end(part_no)
        assert stage.concluded == []
    stage.end(1)
    result = json.loads(answer_of(stage).body)

    assert [entry["customer_id"] for entry in result["customers"]] == ["c-0", "c-1", "c-2"]
    assert (result["status"], answer_of(stage).status) == ("succeeded", "succeeded")


@pytest.mark.parametrize(
    ("failures", "status"), [(0, "succeeded"), (1, "partial"), (2, "partial"), (3, "failed")]
)
def test_the_status_tells_how_many_parts_succeeded(failures: int, status: str) -> None:
    """All, some or none."""
    stage = Stage()
    stage.start()
    for part in stage.job.parts:
        stage.end(part.request.part_no, failure(part) if part.request.part_no < failures else None)

    assert json.loads(answer_of(stage).body)["status"] == status


def test_an_answer_tells_the_first_failure_s_code_to_the_log() -> None:
    """In the job's order; nothing has failed in a job that succeeded."""
    stage = Stage()
    stage.start()
    stage.end(2, failure(stage.job.parts[2], "invalid_rows"))
    stage.end(1, failure(stage.job.parts[1], "check_violation"))
    stage.end(0)
    good = Stage(1)
    good.start()
    good.end(0)

    assert answer_of(stage).code == "check_violation"
    assert answer_of(good).code is None


@given(st.permutations(range(4)), st.permutations(range(4)))
def test_equal_outcomes_make_equal_bytes(first: list[int], second: list[int]) -> None:
    """Whatever the order of the ends and however late: nothing but the two times differs."""
    results: list[str] = []
    times: list[str] = []
    for number, order in enumerate((first, second)):
        stage = Stage(4)
        stage.start()
        stage.time.pass_time(number * 1000)
        for part_no in order:
            stage.end(part_no, success(stage.job.parts[part_no], {"inserted": part_no, "name": "ä"}))
        body = answer_of(stage).body
        times.append(json.loads(body)["finished_at"])
        results.append(body.replace(times[-1], "T").replace(json.loads(body)["received_at"], "T"))

    assert results[0] == results[1]
    assert times[0] != times[1]


def test_a_dead_letter_that_an_outcome_asks_for_is_due() -> None:
    """With the code and message of that part, and how often it was tried."""
    stage = Stage()
    stage.start()
    stage.end(0)
    stage.end(1, failure(stage.job.parts[1], "schema_defect", dead_letter=True, attempt=5))
    stage.end(2, failure(stage.job.parts[2]))

    assert answer_of(stage).dead_letter == Reason("schema_defect", "It failed.", 5)


def test_a_job_with_a_waiting_part_is_returned_after_the_others_have_ended() -> None:
    """It comes again when its first part can go on; the attempt is the highest that was counted."""
    stage = Stage()
    stage.start()
    stage.job.part_deferred(LATER)
    stage.job.part_deferred(Deferral(timedelta(seconds=2), "statement_timeout", attempt=3))
    assert stage.concluded == []
    stage.end(2)

    assert stage.concluded == [Return(timedelta(seconds=2), "statement_timeout", 3)]


VERDICTS: dict[str, Callable[[JobInHand], None]] = {
    "conflict": lambda job: job.part_conflicted("Other content."),
    "superseded": lambda job: job.part_superseded(),
    "deferral": lambda job: job.part_deferred(SOON),
}


@pytest.mark.parametrize("order", list(itertools.permutations(VERDICTS)))
def test_a_conflict_outweighs_a_later_run_which_outweighs_a_wait(order: tuple[str, ...]) -> None:
    """In whatever order the parts say so."""
    stage = Stage()
    stage.start()
    for name in order:
        VERDICTS[name](stage.job)

    assert stage.concluded == [Bury(Reason("content_conflict", "Other content."))]


@pytest.mark.parametrize("order", list(itertools.permutations(["superseded", "deferral", "deferral"])))
def test_a_later_run_outweighs_a_wait(order: tuple[str, ...]) -> None:
    """Nobody waits for the answer of an earlier run."""
    stage = Stage()
    stage.start()
    for name in order:
        VERDICTS[name](stage.job)

    assert stage.concluded == [Discard("superseded")]


@pytest.mark.parametrize("end_early", [VERDICTS["conflict"], VERDICTS["superseded"]])
def test_no_further_part_starts_after_a_verdict(end_early: Callable[[JobInHand], None]) -> None:
    """Those that run may end."""
    stage = Stage(100)
    stage.start()
    end_early(stage.job)
    for part_no in range(1, PARTS_IN_LANES_MAXIMUM):
        stage.end(part_no)

    assert len(stage.offered) == PARTS_IN_LANES_MAXIMUM
    assert len(stage.concluded) == 1


def test_a_job_has_at_most_64_parts_in_the_lanes() -> None:
    """Thousands of customers do not fill the lanes: each end lets one more go."""
    stage = Stage(200)
    stage.start()
    assert len(stage.offered) == 64
    for part_no in range(200):
        stage.end(part_no)
        assert len(stage.offered) - part_no - 1 <= 64

    assert len(answer_of(stage).body) > 0


def test_a_job_of_thousands_whose_lane_refuses_everything_is_returned() -> None:
    """5,000 refusals in a row: no stack is deep enough for a call for each."""
    stage = Stage(5000, answer=LATER)
    stage.start()

    assert stage.concluded == [Return(LATER.after, LATER.code)]


def test_an_abandoned_job_starts_no_further_part_and_is_returned() -> None:
    """What runs may end; the rest is for another worker."""
    stage = Stage(100)
    stage.start()
    stage.job.abandon(shutdown_deferral())
    for part_no in range(64):
        stage.end(part_no)

    assert len(stage.offered) == 64
    assert stage.concluded == [Return(timedelta(), "shutdown")]


def test_a_job_whose_parts_all_run_is_answered_although_the_worker_stops() -> None:
    """Nothing of it is left to give back."""
    stage = Stage()
    stage.start()
    stage.job.abandon(shutdown_deferral())
    for part_no in range(3):
        stage.end(part_no)

    assert answer_of(stage).status == "succeeded"


def test_a_job_that_is_still_prepared_is_not_concluded_by_a_stop() -> None:
    """Its attachments are on their way: the lanes, closed by then, give its parts back."""
    stage = Stage(answer=shutdown_deferral())
    stage.job.abandon(shutdown_deferral())
    assert stage.concluded == []
    stage.start()

    assert stage.concluded == [Return(timedelta(), "shutdown")]


def test_a_job_whose_parts_are_not_even_known_yet_is_not_answered_by_a_stop() -> None:
    """No parts are not all parts succeeded."""
    stage = Stage()
    stage.job.parts = ()
    stage.job.abandon(shutdown_deferral())

    assert stage.concluded == []


def test_copies_join_until_the_job_is_concluded() -> None:
    """They share its end; a later one is a job of its own, and finds the outcomes in the inbox."""
    stage = Stage(1)
    copy = held_of(job_fields(), message_id="message-2")
    assert stage.job.join(copy)
    stage.start()
    stage.end(0)

    assert stage.job.held == [stage.held, copy]
    assert (stage.held.copied, copy.copied) == (False, True)
    assert not stage.job.join(held_of(job_fields(), message_id="message-3"))


def test_a_part_without_a_placement_fails_unrecorded() -> None:
    """Its customer is gone: there is no database to record it in, and no lane."""
    stage = Stage()
    gone = stage.job.parts[1]
    gone.placement, gone.refusal = None, error_of("customer_gone", "Gone.")
    stage.start()
    stage.end(0)
    stage.end(2)
    result = json.loads(answer_of(stage).body)

    assert [part.request.customer_id for part in stage.offered] == ["c-0", "c-2"]
    assert result["customers"][1]["error"]["code"] == "customer_gone"


def test_a_postponed_part_waits_while_the_others_go_on() -> None:
    """Its customer is paused: the job is returned after what could be done was done."""
    stage = Stage()
    stage.job.parts[0].postponed = SOON
    stage.start()
    assert [part.request.customer_id for part in stage.offered] == ["c-1", "c-2"]
    stage.end(1)
    stage.end(2)

    assert stage.concluded == [Return(SOON.after, SOON.code)]


def test_a_verdict_before_the_start_concludes_at_once() -> None:
    """Refused, postponed, attachments away: no part starts."""
    stage = Stage()
    stage.job.conclude(Return(SOON.after, SOON.code))

    assert (stage.concluded, stage.offered) == ([Return(SOON.after, SOON.code)], [])


def test_the_files_are_removed_before_the_job_is_settled() -> None:
    """Whatever the end: the disk is free when the next job comes."""
    stage = Stage(1)
    order: list[str] = []
    stage.job._on_concluded = lambda *_: order.append("concluded")
    stage.job.files = FetchedAttachments({}, {}, lambda: order.append("removed"))
    stage.start()
    stage.end(0)

    assert order == ["removed", "concluded"]


def test_a_lane_that_fails_unexpectedly_leaves_a_job_that_can_be_concluded() -> None:
    """The error is the caller's; the job ends with the caller's verdict when its running parts have ended."""
    stage = Stage()

    def offer(part: Part) -> Deferral | None:
        if stage.offered:
            raise LookupError
        return stage.offer(part)

    with pytest.raises(LookupError):
        stage.job.start(offer)
    stage.job.conclude(Return(SOON.after, "internal_error"))
    assert stage.concluded == []
    stage.end(0)

    assert stage.concluded == [Return(SOON.after, "internal_error")]


def test_parts_that_end_in_many_threads_conclude_once() -> None:
    """All at the same moment."""
    stage = Stage(64)
    stage.start()
    barrier = threading.Barrier(64)

    def end(part_no: int) -> None:
        barrier.wait()
        stage.end(part_no)

    threads = [threading.Thread(target=end, args=(part_no,)) for part_no in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answer_of(stage).status == "succeeded"


class JobMachine(RuleBasedStateMachine):
    """Parts end in every way and order, copies join, the worker stops: one conclusion, never two."""

    @initialize(customers=st.sampled_from([1, 2, 5, 70]), refused=st.booleans())
    def begin(self, customers: int, refused: bool) -> None:  # noqa: FBT001 - hypothesis names it
        """A job of any size, in lanes that take or refuse."""
        self.stage = Stage(customers, answer=SOON if refused else TAKEN)
        self.refused = refused
        self.started = self.stopped = False
        self.ended: set[int] = set()
        self.ends: list[str] = []
        self.joined = 1

    def _running(self) -> list[int]:
        return [p.request.part_no for p in self.stage.offered if p.request.part_no not in self.ended]

    @precondition(lambda self: not self.started)
    @rule()
    def start(self) -> None:
        """The preparation is over."""
        self.started = True
        self.stage.start()

    @precondition(lambda self: self._running())
    @rule(data=st.data(), how=st.sampled_from(["success", "failure", *VERDICTS]))
    def end_part(self, data: st.DataObject, how: str) -> None:
        """A worker thread reports a part."""
        part_no = data.draw(st.sampled_from(self._running()))
        part = self.stage.job.parts[part_no]
        self.ended.add(part_no)
        self.ends.append(how)
        if how in VERDICTS:
            VERDICTS[how](self.stage.job)
        else:
            self.stage.end(part_no, success(part) if how == "success" else failure(part))

    @rule()
    def abandon(self) -> None:
        """The worker stops: its lanes are closed first."""
        self.stopped = True
        self.stage.answer = shutdown_deferral()
        self.stage.job.abandon(shutdown_deferral())

    @rule()
    def join(self) -> None:
        """A copy comes."""
        joined = self.stage.job.join(held_of(job_fields()))
        assert joined is not bool(self.stage.concluded)
        self.joined += joined
        assert len(self.stage.job.held) == self.joined

    @invariant()
    def it_concludes_exactly_when_nothing_of_it_runs(self) -> None:
        """Once; before its start never."""
        is_over = self.started and not self._running()
        assert len(self.stage.concluded) == is_over
        assert len(self._running()) <= PARTS_IN_LANES_MAXIMUM

    @invariant()
    def its_conclusion_is_the_weightiest_of_its_ends(self) -> None:
        """Conflict, then superseded, then any wait, then the answer."""
        if not self.stage.concluded:
            return
        (conclusion,) = self.stage.concluded
        if "conflict" in self.ends:
            assert isinstance(conclusion, Bury)
        elif "superseded" in self.ends:
            assert isinstance(conclusion, Discard)
        elif "deferral" in self.ends or len(self.ended) < len(self.stage.job.parts):
            assert isinstance(conclusion, Return)
        else:
            assert isinstance(conclusion, Answer)


TestJobMachine = JobMachine.TestCase
