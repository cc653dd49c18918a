"""Moves on real servers: between databases of PostgreSQL and of MariaDB, and from one to the other."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta

import pytest

from config import settings
from shards.customer_places import PlaceFailed
from shards.directory import PlacementState
from shards.engines import Shard
from shards.failures import Kind
from shards.inbox import PlacementStale
from shards.move_stages import Step
from shards.placement_rows import change_row, lock_row
from tests.support.mariadb import MariaDBServer
from tests.support.move_crash_protocol import CrashProtocol, RivalProtocol
from tests.support.move_protocol import MoveProtocol
from tests.support.moving import CUSTOMER, Site, inbox_at, make_place
from tests.support.parts import identity
from tests.support.postgresql import PostgreSQLServer
from tests.support.writes import execute, never

POSTGRESQL_PAIR = ("move_here", "move_there")
EMPTY = "DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public"


def shard(name: str, url: str) -> Shard:
    """A shard that waits half a second for a lock."""
    return Shard(name, settings.Shard(url=url, limit=9, lock_timeout=timedelta(milliseconds=500)))


@pytest.fixture(scope="session", name="postgresql_urls")
def make_postgresql_databases(server: PostgreSQLServer) -> tuple[str, str]:
    for database in POSTGRESQL_PAIR:
        server.create_database(database)
    here, there = map(server.url, POSTGRESQL_PAIR)
    return here, there


@pytest.fixture(name="postgresql_shards")
def empty_postgresql(postgresql_urls: tuple[str, str]) -> Iterator[tuple[Shard, Shard]]:
    pair = shard("pg1", postgresql_urls[0]), shard("pg2", postgresql_urls[1])
    for one in pair:
        execute(one, EMPTY)
    yield pair
    for one in pair:
        one.close()


@pytest.fixture(name="mariadb_shards")
def empty_mariadb_pair(mariadb_server: MariaDBServer) -> Iterator[tuple[Shard, Shard]]:
    for database in POSTGRESQL_PAIR:
        mariadb_server.execute(f"DROP DATABASE IF EXISTS {database}")
        mariadb_server.create_database(database)
    pair = tuple(
        shard(f"maria{number}", mariadb_server.url(database))
        for number, database in enumerate(POSTGRESQL_PAIR, 1)
    )
    yield pair[0], pair[1]
    for one in pair:
        one.close()


class OnPostgreSQL:
    @pytest.fixture(name="site")
    def make_site(self, postgresql_shards: tuple[Shard, Shard]) -> Site:
        """From one database to another."""
        here, there = map(make_place, postgresql_shards)
        return Site(here, there)


class OnMariaDB:
    @pytest.fixture(name="site")
    def make_site(self, mariadb_shards: tuple[Shard, Shard]) -> Site:
        """From one database to another."""
        here, there = map(make_place, mariadb_shards)
        return Site(here, there)


class FromPostgreSQLToMariaDB:
    @pytest.fixture(name="site")
    def make_site(self, postgresql_shards: tuple[Shard, Shard], mariadb_shards: tuple[Shard, Shard]) -> Site:
        """To another kind of database."""
        return Site(make_place(postgresql_shards[0]), make_place(mariadb_shards[1]))


class FromMariaDBToPostgreSQL:
    @pytest.fixture(name="site")
    def make_site(self, postgresql_shards: tuple[Shard, Shard], mariadb_shards: tuple[Shard, Shard]) -> Site:
        """To another kind of database."""
        return Site(make_place(mariadb_shards[0]), make_place(postgresql_shards[1]))


class TestMoveOnPostgreSQL(OnPostgreSQL, MoveProtocol):
    """What a move promises."""

    def test_a_part_claimed_while_the_pause_is_being_written_is_waited_for(self, site: Site) -> None:
        """Claims do not wait for the row's change. They saw it active: the move waits for their end."""
        site.wait = timedelta()
        site.move().begin()
        row = site.here.row()
        assert row is not None
        announced = ExitStack()
        announcing = announced.enter_context(site.here.transaction())
        assert change_row(announcing, row, row._replace(state=PlacementState.MOVING))

        def work(_: object) -> bytes:
            announced.close()
            with pytest.raises(PlaceFailed) as error, site.here.transaction() as connection:
                lock_row(connection, CUSTOMER)
            assert error.value.failure.kind is Kind.BUSY
            return b"{}"

        site.store().run(identity(), work)
        with pytest.raises(PlacementStale):
            site.store().run(identity("later"), never)

    def test_parts_that_overlap_all_the_time_do_not_keep_a_move_waiting(self, site: Site) -> None:
        """There is never a moment without a part under way, and none is needed to announce the pause."""
        site.move().begin()
        go_on, inside = threading.Event(), threading.Barrier(2)

        def work(_: object) -> bytes:
            inside.wait()
            assert go_on.wait(60)
            return b"{}"

        def announce(step: Step) -> None:
            if step is Step.PAUSED:
                go_on.set()

        site.on_note = announce
        with ThreadPoolExecutor(1) as pool:
            part = pool.submit(site.store().run, identity(), work)
            inside.wait()
            site.finish()
            assert part.result().state == "succeeded"
        assert inbox_at(site.there) == inbox_at(site.here)


class TestCrashesOnPostgreSQL(OnPostgreSQL, CrashProtocol):
    """What its crashes leave."""


class TestRivalsOnPostgreSQL(OnPostgreSQL, RivalProtocol):
    """What two operators at once can do."""


class TestMoveOnMariaDB(OnMariaDB, MoveProtocol):
    """What a move promises."""


class TestCrashesOnMariaDB(OnMariaDB, CrashProtocol):
    """What its crashes leave."""


class TestRivalsOnMariaDB(OnMariaDB, RivalProtocol):
    """What two operators at once can do."""


class TestMoveFromPostgreSQLToMariaDB(FromPostgreSQLToMariaDB, MoveProtocol):
    """What a move promises."""


class TestMoveFromMariaDBToPostgreSQL(FromMariaDBToPostgreSQL, MoveProtocol):
    """What a move promises."""
