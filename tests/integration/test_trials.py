"""Trials on real servers: what they check at a COMMIT, what their triggers do, what none rolls back."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from config.result import Change
from shards.changes import Changes
from shards.engines import Shard
from shards.failures import classify
from shards.guard import PartConnection
from shards.inbox import BrokenTransaction, PlacementStale
from tests.support.parts import PlacedShard, insert_order, order_numbers, placed_shard_at
from tests.support.trial_protocol import TrialProtocol, order_tried, replace_orders
from tests.support.trials import changes_of, tables_of, trial_on
from tests.support.writes import execute

REFUSE_NINE = """
CREATE FUNCTION refuse_nine() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.order_no = 9 THEN RAISE EXCEPTION 'no nine'; END IF;
    RETURN NEW;
END $$
"""
WRITE_DOWN = "INSERT INTO journal (order_no) VALUES (NEW.order_no)"
AS_FUNCTION = f"$$ BEGIN {WRITE_DOWN}; RETURN NEW; END $$"
JOURNALLED = {
    "postgresql": [
        f"CREATE FUNCTION write_down() RETURNS trigger LANGUAGE plpgsql AS {AS_FUNCTION}",
        "CREATE TRIGGER journalled AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION write_down()",
    ],
    "mariadb": [f"CREATE TRIGGER journalled AFTER INSERT ON orders FOR EACH ROW {WRITE_DOWN}"],
}


class TestOnPostgreSQL(TrialProtocol):
    """Every database's promises, kept by PostgreSQL."""


class TestOnMariaDB(TrialProtocol):
    """Every database's promises, kept by MariaDB."""

    @pytest.fixture(name="shard")
    def of_mariadb(self, mariadb_shard: Shard) -> Shard:
        """The shard that the protocol is run on."""
        return mariadb_shard


@pytest.mark.parametrize("count", [1, 60])
def test_the_other_driver_of_mariadb_tells_rows_that_were_replaced_too(
    mysqlclient_shard: Shard, count: int
) -> None:
    """The database counts each twice, and says in words how many there were."""
    execute(mysqlclient_shard, "INSERT INTO orders (order_no) VALUES (1)")

    assert changes_of(mysqlclient_shard, lambda connection: replace_orders(connection, count)) == [
        Change(table="orders", upserted=count)
    ]


@pytest.fixture(params=["url", "mariadb_url"], name="placed_shard")
def with_placement_rows(request: pytest.FixtureRequest) -> Iterator[PlacedShard]:
    shard = placed_shard_at(request.getfixturevalue(request.param))
    yield shard
    shard.close()


def test_a_customer_that_is_elsewhere_is_not_tried(placed_shard: PlacedShard) -> None:
    """The placement row is looked at, and left as it was."""
    before = tables_of(placed_shard)

    assert trial_on(placed_shard).run(order_tried) == b"tried"
    assert tables_of(placed_shard) == before
    execute(placed_shard, "UPDATE shardworker_placement SET state = 'moving'")
    with pytest.raises(PlacementStale):
        trial_on(placed_shard).run(order_tried)


def code_of_trial(shard: Shard, order_no: int) -> str:
    """What becomes of a trial that inserts this order, and wrote about others before."""

    def work(connection: PartConnection, _: Changes) -> bytes:
        insert_order(connection, 404)
        connection.execute(text("INSERT INTO order_lines VALUES (1, 7)"))
        insert_order(connection, order_no)
        return b"tried"

    try:
        trial_on(shard).run(work)
    except Exception as error:  # noqa: BLE001 - whatever the database says
        return classify(error, shard.dialect).code
    return "succeeded"


def test_what_postgresql_defers_to_the_commit_is_checked(shard: Shard) -> None:
    """Foreign keys and constraint triggers; what the transaction puts right before its end is right."""
    execute(
        shard,
        "CREATE TABLE order_lines (line_no integer PRIMARY KEY,"
        " order_no integer REFERENCES orders DEFERRABLE INITIALLY DEFERRED)",
    )
    execute(shard, REFUSE_NINE)
    execute(
        shard,
        "CREATE CONSTRAINT TRIGGER nine AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION refuse_nine()",
    )

    assert code_of_trial(shard, 7) == "succeeded"
    assert code_of_trial(shard, 8) == "foreign_key_violation"
    execute(shard, "ALTER TABLE order_lines DROP CONSTRAINT order_lines_order_no_fkey")
    assert code_of_trial(shard, 9) == "integrity_violation"
    assert order_numbers(shard) == []


def test_a_statement_that_failed_unnoticed_fails_the_trial(shard: Shard) -> None:
    """On PostgreSQL the transaction is lost with it, as for a part."""

    def work(connection: PartConnection, _: Changes) -> bytes:
        with pytest.raises(Exception, match="divi"):
            connection.exec_driver_sql("SELECT 1 / 0")
        return b"tried"

    with pytest.raises(Exception, match="a statement had failed"):
        trial_on(shard).run(work)


@pytest.mark.parametrize("of_database", ["shard", "mariadb_shard"])
def test_triggers_run_and_leave_nothing_and_sequences_go_on(
    request: pytest.FixtureRequest, of_database: str
) -> None:
    """What a trigger writes is rolled back and not told; a number that was drawn is gone."""
    shard: Shard = request.getfixturevalue(of_database)
    own_number = "serial" if shard.dialect == "postgresql" else "INTEGER AUTO_INCREMENT"
    execute(shard, f"CREATE TABLE journal (entry_no {own_number} PRIMARY KEY, order_no INTEGER)")
    for statement in JOURNALLED[shard.dialect]:
        execute(shard, statement)
    before = tables_of(shard)

    assert changes_of(shard, lambda connection: insert_order(connection, 1)) == [
        Change(table="orders", inserted=1)
    ]
    assert tables_of(shard) == before
    execute(shard, "INSERT INTO orders (order_no) VALUES (2)")
    assert tables_of(shard)["journal"] == [(2, 2)]


def test_ddl_is_rolled_back_on_postgresql(shard: Shard) -> None:
    """There it is a part of the transaction."""

    def work(connection: PartConnection, _: Changes) -> bytes:
        connection.exec_driver_sql("CREATE TABLE others (number integer)")
        return b"tried"

    assert trial_on(shard).run(work) == b"tried"
    assert "others" not in tables_of(shard)


@pytest.mark.parametrize("fails", [False, True])
def test_ddl_on_mariadb_is_found_to_have_committed(mariadb_shard: Shard, *, fails: bool) -> None:
    """What was written before it stays, and that is told, whatever the handler raises later."""

    def work(connection: PartConnection, _: Changes) -> bytes:
        insert_order(connection, 1)
        connection.exec_driver_sql("CREATE TABLE others (number INTEGER)")
        if fails:
            insert_order(connection, 1)
        return b"tried"

    with pytest.raises(BrokenTransaction):
        trial_on(mariadb_shard).run(work)
    assert order_numbers(mariadb_shard) == [1]
