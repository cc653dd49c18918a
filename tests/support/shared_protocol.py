"""The promises of a transaction that parts share, as tests that every database must pass.

A subclass gives the fixture `shard`: with an inbox, an empty table of orders and no rows.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

import pytest
from sqlalchemy import MetaData, Table, select, text
from sqlalchemy.exc import DBAPIError

from shards.bulk import insert_rows
from shards.directory import Placement, PlacementState
from shards.engines import Shard
from shards.failures import KnownFailure
from shards.guard import NotShareable, PartConnection
from shards.inbox import Outcome, PartIdentity, PlacementStale, inbox
from shards.lending import lent
from shards.shared_parts import Apart, Member, run_together
from tests.support.parts import (
    NOW,
    ORDERS,
    OTHER_DIGEST,
    PlacedShard,
    identity,
    insert_order,
    order_numbers,
    order_work,
    store_on,
)
from tests.support.writes import BODY, HandlerMishap, statements_of, the_row

Work = Callable[[PartConnection], Any]

TEN = range(1, 11)
PATIENCE_SECONDS = 60.0

REFUSED: dict[str, Work] = {
    "a setting": lambda connection: connection.execute(text("SET foreign_setting = 1")),
    "a table": lambda connection: connection.execute(text("CREATE TABLE others (a INTEGER)")),
    "a COMMIT": lambda connection: connection.exec_driver_sql("COMMIT"),
    "a ROLLBACK": lambda connection: connection.exec_driver_sql("ROLLBACK"),
    "two statements": lambda connection: connection.exec_driver_sql("SELECT 1; COMMIT"),
    "a function that sets": lambda connection: connection.execute(
        text("SELECT set_config('a.b', 'c', true)")
    ),
    "a procedure": lambda connection: connection.execute(text("CALL anything()")),
    "the driver's connection": lambda connection: connection.connection,
    "an open savepoint": lambda connection: connection.begin_nested(),
    "a savepoint of its own": lambda connection: connection.exec_driver_sql("SAVEPOINT mine"),
    "another schema": lambda connection: connection.execution_options(
        schema_translate_map={None: "tenant_2"}
    ),
}


class SharedProtocol:
    """All of them together, or each as if it had been alone."""

    usual_statements: ClassVar[tuple[str, ...]] = ("INSERT", *("INSERT",) * 10, "UPDATE", "COMMIT")

    def test_parts_that_share_are_committed_together(self, shard: Shard) -> None:
        """Each has its own effect, and its own row with its own outcome, byte for byte."""
        outcomes = together(shard, [member(number) for number in TEN])

        assert outcomes == {part(number): Outcome("succeeded", 1, body_of(number)) for number in TEN}
        rows = {one: the_row(shard, one.job_id) for one in outcomes}
        assert {one: row.found_outcome() for one, row in rows.items()} == outcomes
        assert order_numbers(shard) == list(TEN)

    def test_their_inbox_costs_no_more_statements_than_one_part_s(self, shard: Shard) -> None:
        """That is where the gain comes from."""
        together(shard, [member(100), member(101)])
        with statements_of(shard) as statements:
            together(shard, [member(number) for number in TEN])

        assert tuple(one for one in statements if one != "BEGIN") == self.usual_statements

    def test_what_was_shared_is_found_by_a_copy(self, shard: Shard) -> None:
        """A part that comes again gets its outcome, and is not run."""
        together(shard, [member(1), member(2)])

        outcome = store_on(shard).run(part(2), order_work(2))
        assert outcome == Outcome("succeeded", 1, body_of(2))

    def test_one_that_fails_takes_all_back_and_is_named(self, shard: Shard) -> None:
        """Nothing of the nine others stays, so that each can be run by itself."""
        members = [member(number) for number in TEN]
        members[4] = member(5, raising(HandlerMishap()))

        assert culprit_of(shard, members) == part(5)
        assert (order_numbers(shard), rows_of(shard)) == ([], [])

    def test_one_that_came_before_takes_all_back_and_nobody_is_to_blame(self, shard: Shard) -> None:
        """Its own claim finds its outcome, or that it is another content's: nothing was run."""
        store_on(shard).run(identity("job-2"), order_work(99))
        store_on(shard).run(identity("job-4", digest=OTHER_DIGEST), order_work(100))

        new = [member(number, raising(AssertionError("it was run"))) for number in (1, 3)]
        assert culprit_of(shard, [member(2), *new]) is None
        assert culprit_of(shard, [member(4), *new]) is None
        assert (order_numbers(shard), rows_of(shard)) == ([99, 100], ["job-2", "job-4"])

    def test_what_would_outlive_a_turn_is_refused_whatever_the_handler_makes_of_it(
        self, shard: Shard
    ) -> None:
        """The next one must find neither a setting of this one's nor a transaction that is over."""
        for name, wanted in REFUSED.items():
            with pytest.raises(Apart) as apart:
                together(shard, [member(1), member(2, partial(_hiding, wanted)), member(3)])
            assert isinstance(apart.value.__cause__, NotShareable), name
            assert (apart.value.culprit, name) == (part(2), name)
            assert (order_numbers(shard), rows_of(shard), name) == ([], [], name)

    def test_a_row_that_is_refused_takes_all_back_even_if_the_handler_goes_on(self, shard: Shard) -> None:
        """Rows are sent without a savepoint here: alone, it is told which row it can go on without."""

        def hiding(connection: PartConnection) -> None:
            with suppress(KnownFailure, DBAPIError):
                insert_rows(connection, ORDERS, [{"order_no": 7}, {"order_no": 7}])

        assert culprit_of(shard, [member(1), member(2, hiding)]) == part(2)
        assert order_numbers(shard) == []

    def test_a_table_can_be_reflected(self, shard: Shard) -> None:
        """The built-in handler asks for its table's columns at the first part."""

        def reflecting(connection: PartConnection) -> None:
            table = Table("orders", MetaData(), autoload_with=connection)
            insert_rows(connection, table, [{"order_no": 2}])

        together(shard, [member(1), member(2, reflecting), member(3)])
        assert order_numbers(shard) == [1, 2, 3]

    def test_a_handler_s_own_savepoint_is_its_own(self, shard: Shard) -> None:
        """It can take back a part of its work and go on."""

        def careful(connection: PartConnection) -> None:
            insert_order(connection, 2)
            with pytest.raises(DBAPIError), connection.begin_nested():
                insert_order(connection, 2)
            insert_order(connection, 20)

        together(shard, [member(1), member(2, careful), member(3)])
        assert order_numbers(shard) == [1, 2, 3, 20]

    def test_copies_that_share_in_opposite_orders_run_once(self, shard: Shard) -> None:
        """Two workers with the same parts: whoever comes second waits, and finds that they came before."""
        both = threading.Barrier(2)

        def run(numbers: Iterable[int]) -> str:
            members = [member(number) for number in numbers]
            both.wait(PATIENCE_SECONDS)
            try:
                together(shard, members)
            except Apart:
                return "apart"
            return "together"

        with ThreadPoolExecutor(2) as workers:
            ends = [workers.submit(run, numbers) for numbers in (TEN, reversed(TEN))]
            assert sorted(end.result(PATIENCE_SECONDS) for end in ends) == ["apart", "together"]
        assert order_numbers(shard) == list(TEN)


class SharedPlacementProtocol:
    """What comes on top where claims check placements."""

    def test_where_one_customer_has_moved_nothing_is_written(self, shard: PlacedShard) -> None:
        """Each part finds out by itself whether its customer is still here."""
        with pytest.raises(Apart) as apart:
            together(shard, [member(1), member(2)], epoch=2)
        assert isinstance(apart.value.__cause__, PlacementStale)
        assert rows_of(shard) == []

    def test_one_that_was_placed_before_its_customer_came_back_is_not_let_through_by_another(
        self, shard: PlacedShard
    ) -> None:
        """Of one customer's parts some may have been placed before a move, and some after it."""
        placed = [
            Member(part(number), placement_on(shard, epoch), lambda _: BODY)
            for number, epoch in ((1, 0), (2, 1))
        ]
        with pytest.raises(Apart) as apart:
            run_together(shard, placed, lambda: NOW, check_placement=True)
        assert isinstance(apart.value.__cause__, PlacementStale)


def part(number: int) -> PartIdentity:
    """The identity of a numbered part."""
    return identity(f"job-{number}")


def body_of(number: int) -> bytes:
    """An outcome of every byte there is, with a number."""
    return BODY + str(number).encode()


def member(number: int, work: Work | None = None) -> tuple[int, Work]:
    """A part that inserts an order with its number, or does something else."""
    return number, work or (lambda connection: insert_order(connection, number))


def raising(error: Exception) -> Work:
    """A handler that fails after it has written."""

    def work(connection: PartConnection) -> None:
        insert_order(connection, 999)
        raise error

    return work


def _hiding(wanted: Work, connection: PartConnection) -> None:
    insert_order(connection, 2)
    with suppress(NotShareable):
        wanted(connection)


def together(
    shard: Shard, numbered: Iterable[tuple[int, Work]], epoch: int = 1
) -> dict[PartIdentity, Outcome]:
    """Run parts in one transaction."""
    placement = placement_on(shard, epoch)
    members = [Member(part(number), placement, partial(_run_lent, number, work)) for number, work in numbered]
    return run_together(shard, members, lambda: NOW, check_placement=isinstance(shard, PlacedShard))


def placement_on(shard: Shard, epoch: int) -> Placement:
    """The parts' customer, as the directory has it since so many moves."""
    return Placement("c-1", shard.name, None, PlacementState.ACTIVE, epoch)


def culprit_of(shard: Shard, numbered: Iterable[tuple[int, Work]]) -> PartIdentity | None:
    """Run parts that do not go together; who is to blame."""
    with pytest.raises(Apart) as apart:
        together(shard, numbered)
    return apart.value.culprit


def rows_of(shard: Shard) -> list[str]:
    """The jobs that have a row in the inbox."""
    with shard.connect(reading=True) as connection:
        return list(connection.execute(select(inbox.c.job_id).order_by("job_id")).scalars())


def _run_lent(number: int, work: Work, connection: PartConnection) -> bytes:
    with lent(connection):
        work(connection)
    return body_of(number)
