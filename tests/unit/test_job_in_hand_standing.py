"""A job in hand tells how far it is, and which of its customers wait for a shard that is away."""

from tests.support.job_stage import LATER, SOON, Stage
from worker.job_in_hand import Standing


def test_the_customers_of_an_away_shard_wait_and_the_others_do_not() -> None:
    """In the job's order, whether their parts are in the lane or not; what has ended waits no more."""
    stage = Stage(4, shards=2)
    assert stage.job.standing({"eu1"}) == Standing(0, 4, ("c-2", "c-3"))
    stage.start()
    stage.end(0)
    stage.end(3)

    assert stage.job.standing({"eu1", "eu7"}) == Standing(2, 4, ("c-2",))
    assert stage.job.standing(()) == Standing(2, 4, ())


def test_a_customer_whose_part_was_given_back_for_its_shard_waits_on() -> None:
    """Even when the shard is back meanwhile: its part runs with the next delivery only."""
    stage = Stage(4, shards=2)
    stage.start()
    stage.job.part_deferred(stage.job.parts[1], LATER)

    assert stage.job.standing(()) == Standing(0, 4, ("c-1",))


def test_a_customer_that_waits_for_another_reason_is_not_said_to_wait_for_its_shard() -> None:
    """Busy, paused, to be tried again: its shard has been asked."""
    stage = Stage(4, shards=2)
    stage.start()
    stage.job.part_deferred(stage.job.parts[2], SOON)

    assert stage.job.standing({"eu1"}) == Standing(0, 4, ("c-3",))


def test_nobody_waits_for_a_job_whose_last_part_has_ended() -> None:
    """Even if its shard is away by then."""
    stage = Stage(1)
    stage.start()
    stage.end(0)

    assert stage.job.standing({"eu0"}) == Standing(1, 1, ())
