"""A job in hand: what its parts' ends amount to, in whatever order they come."""

import itertools
import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.result import error_of
from tests.support.job_stage import LATER, SOON, VERDICTS, Stage, answer_of, failure, success
from worker.attachments import FetchedAttachments
from worker.conclusion import Bury, Deferral, Discard, Reason, Return
from worker.job_in_hand import Part
from worker.part_feed import PARTS_IN_LANES_MAXIMUM


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
    stage.job.part_deferred(stage.job.parts[0], LATER)
    counted = Deferral(timedelta(seconds=2), "statement_timeout", attempt=3)
    stage.job.part_deferred(stage.job.parts[1], counted)
    assert stage.concluded == []
    stage.end(2)

    assert stage.concluded == [Return(timedelta(seconds=2), "statement_timeout", 3)]


@pytest.mark.parametrize("order", list(itertools.permutations(VERDICTS)))
def test_a_conflict_outweighs_a_later_run_which_outweighs_a_wait(order: tuple[str, ...]) -> None:
    """In whatever order the parts say so."""
    stage = Stage()
    stage.start()
    for name, part in zip(order, stage.job.parts, strict=True):
        VERDICTS[name](part)

    assert stage.concluded == [Bury(Reason("content_conflict", "Other content."))]


@pytest.mark.parametrize("order", list(itertools.permutations(["superseded", "deferral", "deferral"])))
def test_a_later_run_outweighs_a_wait(order: tuple[str, ...]) -> None:
    """Nobody waits for the answer of an earlier run."""
    stage = Stage()
    stage.start()
    for name, part in zip(order, stage.job.parts, strict=True):
        VERDICTS[name](part)

    assert stage.concluded == [Discard("superseded")]


@pytest.mark.parametrize("end_early", [VERDICTS["conflict"], VERDICTS["superseded"]])
def test_no_further_part_starts_after_a_verdict(end_early: Callable[[Part], None]) -> None:
    """Those that run may end."""
    stage = Stage(100)
    stage.start()
    end_early(stage.job.parts[0])
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
