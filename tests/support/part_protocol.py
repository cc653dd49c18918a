"""The promises of a part's transaction, as tests that every database must pass.

A subclass gives the fixture `shard`: with an inbox, an empty table of orders and no rows.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar

import pytest
from sqlalchemy import Connection

from shards.engines import Shard
from shards.inbox import (
    ContentConflict,
    InboxState,
    Outcome,
    Superseded,
)
from shards.parts import StartedBefore, find_outcomes
from tests.support.parts import (
    NOW,
    OTHER_DIGEST,
    identity,
    insert_order,
    order_numbers,
    order_work,
    store_on,
)
from tests.support.writes import BODY, HandlerMishap, Write, every_write, never, statements_of, the_row


class PartProtocol:
    """Once, whatever comes: the inbox's protocol seen from outside."""

    usual_statements: ClassVar[tuple[str, ...]] = ("INSERT", "INSERT", "UPDATE", "COMMIT")

    def test_a_part_s_effect_and_outcome_are_committed_together(self, shard: Shard) -> None:
        """After `run` both are there, the outcome byte for byte."""
        outcome = store_on(shard).run(identity(), order_work(1, BODY))

        assert outcome == Outcome("succeeded", 1, BODY, dead_letter=False)
        assert the_row(shard).found_outcome() == outcome
        assert order_numbers(shard) == [1]

    def test_a_part_that_comes_again_gets_its_outcome_without_being_run(self, shard: Shard) -> None:
        """However often it comes, and in a higher run too: a succeeded part is never run again."""
        store = store_on(shard)
        outcome = store.run(identity(), order_work())

        assert [store.run(identity(run=run), never) for run in (1, 1, 2, 7)] == [outcome] * 4
        assert the_row(shard).run == 1

    def test_the_usual_way_takes_no_more_statements_than_it_needs(self, shard: Shard) -> None:
        """BEGIN, claim, work, outcome, COMMIT: no SELECT, no second look."""
        store = store_on(shard)
        store.run(identity("warm-up"), order_work(100))
        with statements_of(shard) as statements:
            store.run(identity(), order_work(1))

        assert tuple(word for word in statements if word != "BEGIN") == self.usual_statements

    def test_an_error_in_the_work_leaves_nothing_behind(self, shard: Shard) -> None:
        """Neither data nor row: the part can be run by whoever gets it next."""

        def work(connection: Connection) -> bytes:
            insert_order(connection, 1)
            raise HandlerMishap

        store = store_on(shard)
        with pytest.raises(HandlerMishap):
            store.run(identity(), work)

        assert find_outcomes(shard, None, "job-1", ["c-1"]) == {}
        assert store.run(identity(), order_work(1)).state == "succeeded"

    def test_a_row_tells_what_part_it_is_and_when_it_was(self, shard: Shard) -> None:
        """Every column of the identity, the times of the clock to the microsecond."""
        times = iter([NOW, NOW + 1.5])
        store_on(shard, clock=lambda: next(times)).run(identity(), order_work())
        row = the_row(shard)

        assert (row.job_type, row.partner_id, row.correlation_id) == ("orders.insert", "acme", "c0ffee")
        assert (row.part_no, row.part_count, row.attempt, row.starts) == (0, 1, 0, 0)
        assert row.created_at == datetime.fromtimestamp(NOW, UTC)
        assert row.finished_at == datetime.fromtimestamp(NOW + 1.5, UTC)

    def test_ids_that_differ_in_case_or_by_a_dot_are_different_parts(self, shard: Shard) -> None:
        """Names are compared by bytes: none is taken for another's duplicate."""
        store = store_on(shard)
        for number, job_id in enumerate(["job", "Job", "JOB", "job."]):
            store.run(identity(job_id), order_work(number))

        assert order_numbers(shard) == [0, 1, 2, 3]

    def test_a_recorded_failure_never_turns_into_a_success(self, shard: Shard) -> None:
        """In the same run the failure is found by everybody; the work is not run."""
        store = store_on(shard)
        failure = store.fail(identity(), BODY, dead_letter=True)

        assert failure == Outcome("failed", 1, BODY, dead_letter=True)
        assert store.run(identity(), never) == failure
        assert store.fail(identity(), b"other", dead_letter=False) == failure
        assert store.count_attempt(identity(), 5, lambda _: b"") == failure
        assert store.count_start(identity(), 3, b"") == failure

    def test_an_outcome_wins_over_a_failure_that_comes_later(self, shard: Shard) -> None:
        """A worker that gave up, late, is told that another one succeeded."""
        store = store_on(shard)
        success = store.run(identity(), order_work())

        assert store.fail(identity(), b"gave up", dead_letter=True) == success
        assert store.fail_broken(identity(), b"broken") == success

    def test_a_higher_run_reopens_a_failed_part_with_fresh_counts(self, shard: Shard) -> None:
        """The row is then the higher run's, with its correlation id, and keeps the time of the first."""
        store = store_on(shard)
        store.count_attempt(identity(), 2, lambda _: b"")
        store.count_attempt(identity(), 2, lambda count: b"exhausted after %d" % count)
        created_at = the_row(shard).created_at

        assert store_on(shard, clock=lambda: NOW + 9).count_attempt(identity(run=3), 5, lambda _: b"") == 1
        row = the_row(shard)
        assert (row.state, row.run, row.attempt, row.outcome) == (InboxState.OPEN, 3, 1, None)
        assert (row.dead_letter, row.finished_at, row.created_at) == (False, None, created_at)

    def test_a_higher_run_of_a_failed_part_can_succeed(self, shard: Shard) -> None:
        """A retry from the failure queue runs what failed, and its outcome is the higher run's."""
        store = store_on(shard)
        store.fail(identity(), b"failed", dead_letter=True)

        assert store.run(identity(run=2), order_work()) == Outcome("succeeded", 2, b'{"inserted":1}')
        assert order_numbers(shard) == [1]

    @every_write
    def test_a_lower_run_is_superseded(self, shard: Shard, write: Write) -> None:
        """No write of a lower run touches the row of a higher one."""
        store = store_on(shard)
        store.fail(identity(run=4), b"failed", dead_letter=False)
        before = the_row(shard)
        with pytest.raises(Superseded) as error:
            write(store, identity(run=3))

        assert error.value.run == 4
        assert the_row(shard) == before

    @every_write
    def test_another_content_is_a_conflict(self, shard: Shard, write: Write) -> None:
        """Under the same job and customer, whatever the run, nothing is written or run."""
        store = store_on(shard)
        store.run(identity(run=2), order_work())
        for run in (1, 2, 3):
            with pytest.raises(ContentConflict):
                write(store, identity(run=run, digest=OTHER_DIGEST))

        assert order_numbers(shard) == [1]

    def test_attempts_are_counted_up_to_the_last_which_fails_the_part(self, shard: Shard) -> None:
        """The open row keeps the count; the last attempt's failure has the body made for it."""
        store = store_on(shard)

        def count() -> Outcome | int:
            return store.count_attempt(identity(), 3, lambda attempts: b"after %d" % attempts)

        assert [count(), count()] == [1, 2]
        outcome = count()
        assert outcome == Outcome("failed", 1, b"after 3", dead_letter=True)
        found = store.run(identity(), never)
        assert [found.attempt, the_row(shard).attempt] == [3, 3]

    def test_a_part_with_attempts_can_succeed_and_keeps_their_count(self, shard: Shard) -> None:
        """An open row is taken by the next run of the work."""
        store = store_on(shard)
        store.count_attempt(identity(), 5, lambda _: b"")

        assert store.run(identity(), order_work()).state == "succeeded"
        assert the_row(shard).attempt == 1

    def test_a_part_that_starts_too_often_without_an_end_is_failed(self, shard: Shard) -> None:
        """Three starts may be; the fourth is refused with the failure, to be dead-lettered."""
        store = store_on(shard)

        assert [store.count_start(identity(), 3, b"killed") for _ in range(3)] == [None] * 3
        assert store.count_start(identity(), 3, b"killed") == Outcome(
            "failed", 1, b"killed", dead_letter=True
        )
        assert store.run(identity(), never).body == b"killed"

    def test_a_correlation_id_is_stored_in_ascii(self, shard: Shard) -> None:
        """Whatever the database's encoding: otherwise the part could neither run nor fail, for ever."""
        part = replace(identity(), correlation_id="kaffee ☕" + "ä" * 247)
        store_on(shard).run(part, order_work())

        stored = the_row(shard).correlation_id
        assert stored is not None
        assert (stored[:16], len(stored)) == ("kaffee \\u2615\\xe", 255)

    def test_a_start_is_counted_only_beside_those_that_are_known(self, shard: Shard) -> None:
        """Of many who know of the same deaths one starts the part: the others do not die with it."""
        store = store_on(shard)

        for known in (0, 1):
            assert store.count_start(identity(), 3, b"killed", known=known) is None
            with pytest.raises(StartedBefore) as error:
                store.count_start(identity(), 3, b"killed", known=known)
            assert error.value.starts == the_row(shard).starts == known + 1

    def test_a_start_that_is_taken_back_does_not_count(self, shard: Shard) -> None:
        """Nor does one that ended in a counted attempt; and there is never less than none."""
        store = store_on(shard)
        for _ in range(10):
            assert store.count_start(identity(), 1, b"killed") is None
            store.take_back_start(identity())
            store.take_back_start(identity())
        assert store.count_start(identity(), 1, b"killed") is None
        store.count_attempt(identity(), 5, lambda _: b"")

        assert the_row(shard).starts == 0

    def test_a_started_part_is_run_in_its_row(self, shard: Shard) -> None:
        """The start's row is the one that is claimed."""
        store = store_on(shard)
        store.count_start(identity(), 3, b"killed")

        assert store.run(identity(), order_work()).state == "succeeded"

    def test_taking_back_where_an_outcome_is_leaves_it(self, shard: Shard) -> None:
        """The outcome wins over this write too."""
        store = store_on(shard)
        store.run(identity(), order_work())
        before = the_row(shard)
        store.take_back_start(identity())

        assert the_row(shard) == before

    def test_the_rows_of_a_job_are_read_at_once_and_only_those_asked_for(self, shard: Shard) -> None:
        """One query for any number of customers; an open row is there without an outcome."""
        store = store_on(shard)
        store.run(identity(customer_id="c-1"), order_work(1))
        store.count_attempt(identity(customer_id="c-2"), 5, lambda _: b"")
        store.run(identity(customer_id="c-3"), order_work(3))
        store.run(identity("job-2", customer_id="c-1"), order_work(4))
        with statements_of(shard) as statements:
            rows = find_outcomes(shard, None, "job-1", ["c-2", "c-1", "c-0"])

        assert [word for word in statements if word not in {"BEGIN", "COMMIT"}] == ["SELECT"]
        assert {customer_id: row.state.value for customer_id, row in rows.items()} == {
            "c-1": "succeeded",
            "c-2": "open",
        }
