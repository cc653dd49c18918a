"""What crashes and rival commands leave of a move, as tests that every pair of databases must pass.

A subclass gives the fixture `site`: a customer with a placement row at `here`, and an empty place `there`.
"""

from dataclasses import replace

import pytest
from sqlalchemy import insert

from shards.inbox import inbox
from shards.move_stages import MoveRefused, Step
from shards.placement_rows import change_row
from tests.support.move_protocol import ACTIVE, GONE, MOVING, fill
from tests.support.moving import Crash, Site, inbox_at, orders_at
from tests.support.parts import identity, order_work
from tests.support.writes import BODY, never

FINISH_STEPS = [
    Step.PAUSED,
    Step.DRAINED,
    Step.RESUMED,
    Step.COPIED,
    Step.PAUSED,
    Step.DRAINED,
    Step.SYNCED,
    Step.CAUGHT_UP,
    Step.ARRIVED,
    Step.LEFT,
    Step.ENTERED,
]
every_step = pytest.mark.parametrize(
    "number",
    range(1, len(FINISH_STEPS) + 1),
    ids=[f"{number}-{step}" for number, step in enumerate(FINISH_STEPS, 1)],
)


def crash(site: Site, number: int) -> None:
    """Finish the move, but for the process's death right after a step."""
    site.notes.clear()
    site.die_at = number
    with pytest.raises(Crash):
        site.finish()
    site.die_at = None


class CrashProtocol:
    """Wherever a move is broken off: active in one place or in none, and the next command goes on."""

    def test_the_steps_of_a_move(self, site: Site) -> None:
        """The table of crash points is complete."""
        site.move().begin()
        site.notes.clear()
        site.finish()

        assert site.notes == FINISH_STEPS

    @every_step
    def test_a_crash_is_mended_by_the_same_command(self, site: Site, number: int) -> None:
        """After it the customer is never active twice; `--finish` again completes the move."""
        fill(site)
        site.move().begin()
        crash(site, number)
        assert site.states().count(ACTIVE) <= 1
        if site.directory.shard == site.here.shard.name and site.directory.schema == site.here.schema:
            site.finish()

        assert site.states() == (GONE, ACTIVE)
        assert inbox_at(site.there) == inbox_at(site.here)
        assert site.store().run(identity("done"), never).body == BODY
        assert site.store().run(identity("new"), order_work(9, BODY)).body == BODY
        assert orders_at(site.there) == [1, 2, 9]

    @every_step
    def test_a_crash_is_mended_by_an_abort_or_that_is_refused(self, site: Site, number: int) -> None:
        """Until the customer arrived the way back is open; then it is refused, and nothing is changed."""
        fill(site)
        site.move().begin()
        crash(site, number)
        arrived = Step.ARRIVED in site.notes
        states = site.states()
        if arrived:
            with pytest.raises(MoveRefused):
                site.move().abort()
            assert site.states() == states
        else:
            site.move().abort()
            assert site.states() == (ACTIVE, GONE)
            assert site.store().run(identity("done"), never).body == BODY
            assert inbox_at(site.there) == []

    @every_step
    def test_an_error_lets_the_customer_go_on(self, site: Site, number: int) -> None:
        """An error that is no crash: until it arrived, the customer goes on at the source at once."""
        fill(site)
        site.move().begin()
        site.notes.clear()

        def fail(_: Step) -> None:
            if len(site.notes) == number:
                raise OSError("the sync command failed")

        site.on_note = fail
        with pytest.raises(OSError, match="the sync command failed"):
            site.finish()
        paused = FINISH_STEPS[number - 1] in {Step.PAUSED, Step.DRAINED, Step.SYNCED, Step.CAUGHT_UP}
        if paused:
            assert site.states() == (ACTIVE, MOVING)
            assert site.notes[-1] is Step.RESUMED
            site.store().run(identity("new"), order_work(7))
        assert site.states().count(ACTIVE) <= 1


class RivalProtocol:
    """Two operators at once, or one who has forgotten: refused, and nothing is lost."""

    def test_a_command_that_slept_cannot_finish_what_was_aborted_meanwhile(self, site: Site) -> None:
        """What it had copied is old; the customer went on, and lives where it lived."""
        site.move().begin()

        def sync() -> None:
            site.move().abort()
            site.store().run(identity("meanwhile"), order_work(1))

        with pytest.raises(MoveRefused):
            site.move().finish(sync, site.enter)
        assert site.states() == (ACTIVE, GONE)
        assert orders_at(site.here) == [1]

    def test_a_command_that_slept_cannot_finish_a_later_move(self, site: Site) -> None:
        """Aborted, begun anew and paused by others: the rows look alike but for the number."""
        site.move().begin()

        def sync() -> None:
            site.move().abort()
            site.store().run(identity("meanwhile"), order_work(1))
            site.move().begin()
            crash(site, FINISH_STEPS.index(Step.SYNCED))

        with pytest.raises(MoveRefused):
            site.move().finish(sync, site.enter)
        assert site.states() == (MOVING, MOVING)
        site.finish()
        assert orders_at(site.there) == [1]

    def test_a_customer_moves_to_one_place_at_a_time(self, site: Site) -> None:
        """While it is paused for one move, another is refused, to finish and to abort."""
        site.move().begin()
        crash(site, FINISH_STEPS.index(Step.SYNCED))
        row = site.there.row()
        assert row is not None
        with site.there.transaction() as connection:
            assert change_row(connection, row, row._replace(epoch=row.epoch + 1))

        with pytest.raises(MoveRefused, match="not this move"):
            site.finish()
        with pytest.raises(MoveRefused, match="not this move"):
            site.move().abort()
        assert site.states() == (MOVING, MOVING)

    def test_what_is_not_begun_is_neither_finished_nor_aborted(self, site: Site) -> None:
        """Both say so."""
        with pytest.raises(MoveRefused, match="has not begun"):
            site.finish()
        with pytest.raises(MoveRefused, match="no such move"):
            site.move().abort()
        assert site.states() == (ACTIVE, None)

    def test_rows_that_nobody_knows_are_not_written_over(self, site: Site) -> None:
        """An inbox row of the customer at the target, without a placement row: somebody must look."""
        fill(site)
        with site.there.transaction() as connection:
            connection.execute(insert(inbox), dict(inbox_at(site.here)[0]))
        with pytest.raises(MoveRefused, match="has rows of the customer already"):
            site.move().begin()
        assert site.states() == (ACTIVE, None)

    def test_a_customer_without_a_placement_row_is_not_moved(self, site: Site) -> None:
        """Its claims check nothing that a move could change."""
        with site.here.transaction() as connection:
            connection.exec_driver_sql("DELETE FROM shardworker_placement")
        with pytest.raises(MoveRefused, match="shards place"):
            site.move().begin()

    def test_the_directory_and_the_row_must_agree(self, site: Site) -> None:
        """A customer whose parts are all refused is not moved: first that is put right."""
        site.directory = replace(site.directory, epoch=2)
        with pytest.raises(MoveRefused, match="epoch 2"):
            site.move().begin()

    def test_a_place_is_not_moved_onto_itself(self, site: Site) -> None:
        """Two names of one database: the customer's own row is found there."""
        with pytest.raises(MoveRefused, match="one and the same"):
            site.move(site.here).begin()
