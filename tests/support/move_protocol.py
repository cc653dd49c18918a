"""The promises of a move, as tests that every pair of databases must pass.

A subclass gives the fixture `site`: a customer with a placement row at `here`, and an empty place `there`.
"""

from dataclasses import replace
from itertools import count

import pytest

from shards.directory import PlacementState
from shards.inbox import PlacementStale
from shards.inbox_copy import PAGE_ROWS
from shards.move_stages import PartsUnderWay, Step
from tests.support.moving import OTHER, Site, Writers, copy_orders, inbox_at, orders_at
from tests.support.parts import identity, order_work
from tests.support.writes import BODY, never

ACTIVE, MOVING, GONE = PlacementState.ACTIVE, PlacementState.MOVING, PlacementState.GONE


def fill(site: Site) -> None:
    """Rows of every kind in the inbox of the customer, one of another, and an order for each success."""
    store = site.store()
    store.run(identity("done"), order_work(1, BODY))
    store.fail(identity("failed"), b"failed", dead_letter=True)
    store.count_attempt(identity("open"), 5, lambda _: b"exhausted")
    store.count_attempt(identity("open"), 5, lambda _: b"exhausted")
    store.count_start(identity("started"), 3, b"killed")
    other = replace(site.directory, customer_id=OTHER)
    site.store(other).run(identity("done", customer_id=OTHER), order_work(2))


class MoveProtocol:
    """Active in one place or in none; each part's effect once; its inbox row wherever the customer is."""

    def test_a_customer_is_moved_while_eight_threads_write_to_it(self, site: Site) -> None:
        """No order is lost or doubled, none is written to the old place after the flip."""
        writers = Writers(site)
        at_flip: list[int] = []

        def sync() -> None:
            copy_orders(site.here, site.there)
            at_flip.extend(orders_at(site.here))

        with writers.running():
            writers.wait_for_more(50)
            site.move().begin()
            copy_orders(site.here, site.there)
            writers.wait_for_more(50)
            moved = site.move().finish(sync, site.enter)
            writers.wait_for_more(100)

        assert orders_at(site.there) == sorted(writers.outcomes)
        assert orders_at(site.here) == at_flip
        assert 100 <= len(at_flip) <= len(writers.outcomes) - 100
        assert site.states() == (GONE, ACTIVE)
        assert moved.rows == len(at_flip)

    def test_a_job_delivered_before_and_after_runs_once(self, site: Site) -> None:
        """Its row came along: the new place gives the outcome of the old one, byte for byte."""
        fill(site)
        before = site.store().run(identity("done"), never)
        site.move().begin()
        later = site.store().run(identity("between"), order_work(5, BODY))
        site.finish()

        assert site.store().run(identity("done"), never) == before
        assert site.store().run(identity("between"), never) == later
        assert orders_at(site.there) == [1, 2, 5]

    def test_inbox_rows_travel_byte_for_byte(self, site: Site) -> None:
        """Outcomes, times, counts of every kind of row; another customer's stay where they are."""
        fill(site)
        site.move().begin()
        assert inbox_at(site.there) == inbox_at(site.here)
        site.finish()

        rows = inbox_at(site.there)
        assert rows == inbox_at(site.here)
        assert [row["job_id"] for row in rows] == ["done", "failed", "open", "started"]
        assert [row["attempt"] for row in rows] == [0, 0, 2, 0]
        assert [row["starts"] for row in rows] == [0, 0, 0, 1]
        assert rows[0]["outcome"] == BODY
        assert inbox_at(site.there, OTHER) == []

    def test_what_changes_between_begin_and_finish_comes_along(self, site: Site) -> None:
        """Attempts that were counted, failed parts that a higher run took over, open ones that ended."""
        fill(site)
        site.move().begin()
        store = site.store()
        store.count_attempt(identity("open"), 5, lambda _: b"exhausted")
        store.run(identity("failed", run=2), order_work(3, BODY))
        store.run(identity("started"), order_work(4))
        store.run(identity("new"), order_work(5))
        site.finish()

        assert inbox_at(site.there) == inbox_at(site.here)
        assert {row["job_id"]: row["attempt"] for row in inbox_at(site.there)}["open"] == 3

    def test_what_changes_in_the_last_moment_comes_along(self, site: Site) -> None:
        """Between the pass over all rows and the pause parts go on, and their rows are not forgotten."""
        fill(site)
        site.move().begin()

        def write(step: Step) -> None:
            if step is Step.COPIED:
                store = site.store()
                store.count_attempt(identity("open"), 5, lambda _: b"exhausted")
                store.run(identity("failed", run=2), order_work(3, BODY))
                store.run(identity("new"), order_work(5))

        site.on_note = write
        site.finish()

        assert inbox_at(site.there) == inbox_at(site.here)
        assert len(inbox_at(site.there)) == 5

    def test_more_rows_than_a_page_come_along(self, site: Site) -> None:
        """However many there are; and rows that were purged meanwhile do not stay behind at the target."""
        for number in range(PAGE_ROWS + 3):
            site.store().fail(identity(f"job-{number}"), b"x", dead_letter=False)
        assert site.move().begin().rows == PAGE_ROWS + 3
        with site.here.transaction() as connection:
            connection.exec_driver_sql("DELETE FROM shardworker_inbox WHERE job_id = 'job-1'")
        site.finish()

        assert len(inbox_at(site.there)) == PAGE_ROWS + 2
        assert inbox_at(site.there) == inbox_at(site.here)

    def test_the_old_place_refuses_whoever_has_not_heard(self, site: Site) -> None:
        """A worker with the old placement writes nothing, there or anywhere."""
        old = site.directory
        site.move().begin()
        site.finish()
        with pytest.raises(PlacementStale):
            site.store(old).run(identity("late"), never)

        assert site.directory.epoch > old.epoch
        assert inbox_at(site.here) == []

    def test_the_target_takes_no_part_before_the_move_is_finished(self, site: Site) -> None:
        """Not even with the number that the customer will have there."""
        site.move().begin()
        row = site.there.row()
        assert row is not None
        early = replace(
            site.directory, shard=site.there.shard.name, schema=site.there.schema, epoch=row.epoch
        )
        with pytest.raises(PlacementStale):
            site.store(early).run(identity(), never)

    def test_a_customer_can_come_back(self, site: Site) -> None:
        """What was left of it at the old place gives way to what happened since."""
        fill(site)
        site.move().begin()
        site.finish()
        site.store().count_attempt(identity("open"), 5, lambda _: b"exhausted")
        back = site.back()
        back.move().begin()
        back.finish()

        assert back.states() == (GONE, ACTIVE)
        assert inbox_at(site.here) == inbox_at(site.there)
        assert back.store().run(identity("done"), never).body == BODY

    def test_a_part_under_way_is_waited_for(self, site: Site) -> None:
        """A long part keeps the move waiting; when it goes on for too long, all is as before."""
        site.wait = site.wait * 0
        site.move().begin()

        def work(_: object) -> bytes:
            with pytest.raises(PartsUnderWay, match="still under way"):
                site.finish()
            return BODY

        site.store().run(identity("long"), work)
        assert site.states() == (ACTIVE, MOVING)
        site.finish()
        assert site.store().run(identity("long"), never).body == BODY

    def test_an_abort_leaves_everything_as_it_was(self, site: Site) -> None:
        """The customer goes on at the source with the same epoch; nothing of it is left at the target."""
        fill(site)
        before = inbox_at(site.here)
        site.move().begin()
        site.move().abort()
        site.move().abort()

        assert site.states() == (ACTIVE, GONE)
        assert inbox_at(site.here) == before
        assert inbox_at(site.there) == []
        assert site.store().run(identity("done"), never).body == BODY

    def test_a_move_can_be_begun_again_after_an_abort(self, site: Site) -> None:
        """With a higher number, whatever is drawn: no command of the first try takes it for its own."""
        site.epochs = count(100, -1)
        fill(site)
        site.move().begin()
        first = site.there.row()
        site.move().abort()
        site.move().begin()
        second = site.there.row()
        site.finish()

        assert first is not None
        assert second is not None
        assert first.epoch < second.epoch
        assert inbox_at(site.there) == inbox_at(site.here)
