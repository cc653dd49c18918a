"""The promises of migrations, as tests that every database must pass.

A subclass gives the fixture `shard`: a database without any of the worker's tables.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import insert

from shards.engines import Shard
from shards.failures import Kind, classify
from shards.inbox import InboxFault, InboxTooOld, Outcome, check_inbox, inbox
from shards.migration_steps import LATEST_VERSION
from shards.migrations import find_version, migrate, plan, version_rows
from shards.parts import find_outcomes
from tests.support.parts import create_orders, identity, order_work, shard_at, store_on
from tests.support.writes import execute, never, statements_of

BODY = b'{"inserted":1}'


def same_database(shard: Shard) -> Shard:
    """The database as another process sees it: with connections and a memory of its own."""
    return shard_at(shard.engine.url.render_as_string(hide_password=False))


def migrate_elsewhere(shard: Shard) -> tuple[int, int]:
    """Migrate the database from another process."""
    other = same_database(shard)
    migrated = migrate(other, None)
    other.close()
    return migrated.old, migrated.new


def unversioned_inbox(shard: Shard) -> None:
    """The inbox as it was before there were versions."""
    with shard.connect() as connection, connection.begin():
        inbox.create(connection)


class MigrationProtocol:
    """From nothing, from an older table, from a run that was broken off: always to the same tables."""

    def test_an_empty_place_is_brought_to_the_latest_version_once(self, shard: Shard) -> None:
        """The second run changes nothing and says so."""
        assert find_version(shard, None) == 0
        assert [tuple(migrate(shard, None)) for _ in range(2)] == [
            (0, LATEST_VERSION),
            (LATEST_VERSION, LATEST_VERSION),
        ]
        assert (find_version(shard, None), check_inbox(shard, None)) == (LATEST_VERSION, [])
        assert plan(shard, None) == (LATEST_VERSION, [])

    def test_an_inbox_of_an_earlier_release_is_adopted_with_its_rows(self, shard: Shard) -> None:
        """It has no version; its outcomes are still found afterwards."""
        migrate(shard, None)
        create_orders(shard)
        store_on(shard).run(identity(), order_work(1, BODY))
        execute(shard, "DROP TABLE shardworker_version")
        execute(shard, "DROP TABLE shardworker_placement")
        other = same_database(shard)

        assert tuple(migrate(other, None)) == (0, LATEST_VERSION)
        assert store_on(other).run(identity(), never) == Outcome("succeeded", 1, BODY)
        other.close()

    @pytest.mark.parametrize(
        "drop", ["TABLE shardworker_inbox", "TABLE shardworker_placement"], ids=["inbox", "placement"]
    )
    def test_a_place_is_no_newer_than_what_is_there(self, shard: Shard, drop: str) -> None:
        """A table that was dropped is made again, whatever the version says."""
        migrate(shard, None)
        execute(shard, f"DROP {drop}")
        version = find_version(shard, None)

        assert version < LATEST_VERSION
        assert tuple(migrate(shard, None)) == (version, LATEST_VERSION)
        assert check_inbox(shard, None) == []

    def test_a_run_that_was_broken_off_is_finished_by_the_next(self, shard: Shard) -> None:
        """After each statement, as where a database commits each one: the next run makes what is missing."""
        (_, steps) = plan(shard, None)
        statements = [statement for step in steps for statement in step.statements]
        for done in range(1, len(statements) + 1):
            for statement in statements[:done]:
                execute(shard, statement)
            migrate(shard, None)

            assert (find_version(shard, None), check_inbox(shard, None)) == (LATEST_VERSION, [])
            for table in ("version", "inbox", "placement"):
                execute(shard, f"DROP TABLE shardworker_{table}")

    def test_many_runners_at_once_do_no_harm(self, shard: Shard) -> None:
        """One of them does the work, the others find it done."""
        barrier = threading.Barrier(4)

        def run(_: int) -> tuple[int, int]:
            barrier.wait()
            return migrate_elsewhere(shard)

        with ThreadPoolExecutor(4) as threads:
            results = sorted(threads.map(run, range(4)))

        assert results == [(0, LATEST_VERSION)] + [(LATEST_VERSION, LATEST_VERSION)] * 3
        assert check_inbox(shard, None) == []

    def test_a_place_of_a_later_release_is_left_alone_and_can_be_used(self, shard: Shard) -> None:
        """Versions only add: a worker of the release before goes on."""
        migrate(shard, None)
        create_orders(shard)
        with shard.connect() as connection, connection.begin():
            connection.execute(insert(version_rows), {"version": LATEST_VERSION + 1})

        assert tuple(migrate(shard, None)) == (LATEST_VERSION + 1, LATEST_VERSION + 1)
        assert store_on(shard).run(identity(), order_work()).state == "succeeded"

    def test_a_worker_leaves_a_place_alone_that_is_too_old(self, shard: Shard) -> None:
        """Its parts wait as for a shard that is away; after the migration they go on without a restart."""
        migrate(shard, None)
        create_orders(shard)
        execute(shard, "DELETE FROM shardworker_version WHERE version > 1")
        with pytest.raises(InboxTooOld, match="shardworker shards migrate") as error:
            store_on(shard).run(identity(), never)
        with pytest.raises(InboxFault):
            find_outcomes(shard, None, "job-1", ["c-1"])

        failure = classify(error.value, shard.dialect)
        assert (failure.kind, failure.code) == (Kind.AWAY, "shard_away")
        migrate_elsewhere(shard)
        assert store_on(shard).run(identity(), order_work()).state == "succeeded"

    def test_an_inbox_without_a_version_is_a_fault_of_the_inbox(self, shard: Shard) -> None:
        """A worker of this release met before the migration: nothing is run and nothing is counted."""
        unversioned_inbox(shard)
        with pytest.raises(InboxFault, match="shardworker shards migrate"):
            store_on(shard).run(identity(), never)
        with pytest.raises(InboxFault):
            store_on(shard).count_attempt(identity(), 5, lambda _: b"")

    def test_the_version_is_asked_for_once(self, shard: Shard) -> None:
        """At the first use of the place; a look-up counts as one."""
        migrate(shard, None)
        create_orders(shard)
        with statements_of(shard) as statements:
            find_outcomes(shard, None, "job-1", ["c-1"])
            store_on(shard).run(identity(), order_work())

        assert statements.count("SELECT") == 2
