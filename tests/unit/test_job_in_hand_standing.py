"""A job in hand tells how far it is, and which of its customers wait for a shard that is away."""

from dataclasses import replace

from tests.support.job_stage import LATER, SOON, Stage
from worker.job_in_hand import Standing


def on_two_shards() -> Stage:
    """Four customers, by turns on eu1 and eu2."""
    stage = Stage(4)
    for part in stage.job.parts:
        assert part.placement is not None
        part.placement = replace(part.placement, shard=f"eu{part.request.part_no % 2 + 1}")
    return stage


def test_the_customers_of_an_away_shard_wait_and_the_others_do_not() -> None:
    """In the job's order, whether their parts are in the lane or not; what has ended waits no more."""
    stage = on_two_shards()
    assert stage.job.standing({"eu2"}) == Standing(0, 4, ("c-1", "c-3"))
    stage.start()
    stage.end(0)
    stage.end(3)

    assert stage.job.standing({"eu2", "eu7"}) == Standing(2, 4, ("c-1",))
    assert stage.job.standing(()) == Standing(2, 4, ())


def test_a_customer_whose_part_was_given_back_for_its_shard_waits_on() -> None:
    """Even when the shard is back meanwhile: its part runs with the next delivery only."""
    stage = on_two_shards()
    stage.start()
    stage.job.part_deferred(stage.job.parts[1], LATER)

    assert stage.job.standing(()) == Standing(0, 4, ("c-1",))


def test_a_customer_that_waits_for_another_reason_is_not_said_to_wait_for_its_shard() -> None:
    """Busy, paused, to be tried again: its shard has been asked."""
    stage = on_two_shards()
    stage.start()
    stage.job.part_deferred(stage.job.parts[1], SOON)

    assert stage.job.standing({"eu2"}) == Standing(0, 4, ("c-3",))


def test_a_job_is_concluded_with_its_last_part() -> None:
    """From then on nothing more is told of how far it is."""
    stage = Stage(1)
    stage.start()
    before = stage.job.concluded
    stage.end(0)

    assert (before, stage.job.concluded) == (False, True)
    assert stage.job.standing({"eu1"}) == Standing(1, 1, ())
