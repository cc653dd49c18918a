"""A job in hand that is stopped, refused or joined: it concludes when it can, and never too early."""

from datetime import timedelta

from tests.support.job_stage import LATER, Stage, answer_of
from tests.support.jobs import held_of, job_fields
from worker.conclusion import Return
from worker.job_in_hand import shutdown_deferral


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
