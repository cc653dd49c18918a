"""Shards, their URLs, engines and pools."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from config import settings
from shards.engine_options import connect_arguments
from shards.engines import BadShardUrl, FileNotCreated, Shard, Shards, UnknownShard
from shards.failures import Kind, classify
from shards.inbox import check_inbox, create_inbox
from shards.mariadb import session_statement
from tests.support.parts import identity, order_work, shard_at, sqlite_shard, store_on

SECRET = "hunter2"


@pytest.fixture(name="shard")
def make_shard(tmp_path: Path) -> Iterator[Shard]:
    shard = sqlite_shard(tmp_path)
    yield shard
    shard.close()


def section(url: str, **values: object) -> settings.Shard:
    return settings.Shard.model_validate({"url": url, **values})


def test_shards_are_found_by_name() -> None:
    """The same shard each time, in the configuration's order, without connecting."""
    shards = Shards({"eu2": section("sqlite:////none/2.db"), "eu1": section("sqlite:////none/1.db")})

    assert shards.names == ["eu2", "eu1"]
    assert shards.get("eu1") is shards.get("eu1")
    shards.close()


def test_an_unknown_shard_is_told_with_those_that_are_known() -> None:
    """The directory and the configuration disagree: the message says where to look."""
    shards = Shards({"eu1": section("sqlite:////none/1.db")})

    with pytest.raises(UnknownShard, match=r"'eu9' is not configured \(configured: eu1\).*\[shards.eu9\]"):
        shards.get("eu9")


@pytest.mark.parametrize(
    ("url", "dialect", "limit"),
    [
        ("sqlite:////none/1.db", "sqlite", 1),
        ("postgresql://worker@db/customers", "postgresql", 4),
        ("postgresql+psycopg://worker@db/customers", "postgresql", 4),
        ("mariadb://worker@db/customers", "mariadb", 4),
        ("mysql+pymysql://worker@db/customers", "mariadb", 4),
    ],
)
def test_a_shard_knows_its_dialect_and_its_limit(url: str, dialect: str, limit: int) -> None:
    """SQLite has one writer; the others four connections unless the file says otherwise."""
    shard = Shard("one", section(url))

    assert (shard.dialect, shard.limit) == (dialect, limit)
    assert Shard("one", section(url, limit=9)).limit == 9


@pytest.mark.parametrize(
    ("url", "driver"),
    [("postgresql://w@db/c", "psycopg"), ("mariadb://w@db/c", "pymysql"), ("mysql://w@db/c", "pymysql")],
)
def test_the_driver_is_ours_where_the_url_names_none(url: str, driver: str) -> None:
    """Which driver a bare name means has changed between SQLAlchemy's releases."""
    assert Shard("one", section(url)).engine.dialect.driver == driver


@pytest.mark.parametrize(
    "url",
    [
        f"no url {SECRET}",
        f"oracle://worker:{SECRET}@db/customers",
        "sqlite://",
        "sqlite:///relative.db",
        "sqlite:///:memory:",
        f"postgresql://worker:{SECRET}@db:port/customers",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_repeating_it(url: str) -> None:
    """The message names the key in the file and shows what a URL looks like; never the URL's password."""
    with pytest.raises(
        BadShardUrl, match=r"shards\.eu1\.url: expected .*sqlite:////directory/file\.db"
    ) as error:
        Shards({"eu1": section(url)})

    assert SECRET not in str(error.value)


def test_a_shard_s_own_words_hold_no_password() -> None:
    """Neither its name for itself nor its engine's."""
    shard = Shard("eu1", section(f"postgresql://worker:{SECRET}@db/customers"))

    assert repr(shard) == "Shard('eu1', dialect='postgresql', limit=4)"
    assert SECRET not in repr(shard.engine)


def test_one_engine_is_made_however_many_threads_ask_first(tmp_path: Path) -> None:
    """Made on first use, under a lock."""
    shard = shard_at(f"sqlite:///{tmp_path / 'shard.db'}")
    barrier = threading.Barrier(8)

    def ask(_: int) -> int:
        barrier.wait()
        return id(shard.engine)

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(ask, range(8)))) == 1


def test_a_missing_file_is_a_shard_that_is_away_and_stays_missing(tmp_path: Path) -> None:
    """An empty database in its place would hide that a disk is not mounted."""
    path = tmp_path / "shard.db"
    shard = shard_at(f"sqlite:///{path}")
    with pytest.raises(Exception, match="unable to open") as error:
        store_on(shard).run(identity(), order_work())

    assert classify(error.value, "sqlite").kind is Kind.AWAY
    assert check_inbox(shard, None) == [
        "Shard 'one' cannot be checked: The customer's database cannot be asked now (SQLITE_CANTOPEN)."
    ]
    assert not path.exists()


def test_setting_up_creates_the_file_and_the_inbox(tmp_path: Path) -> None:
    """Names with characters that mean something in URIs too."""
    path = tmp_path / "a shard #1 100% full.db"
    shard = shard_at(f"sqlite:///{path}")

    assert (create_inbox(shard, None), check_inbox(shard, None)) == (True, [])
    assert path.exists()
    shard.close()


def test_a_file_that_cannot_be_created_is_told_with_its_reason(tmp_path: Path) -> None:
    """A directory that is missing is not made up: it may be a disk that is not mounted."""
    shard = shard_at(f"sqlite:///{tmp_path / 'missing' / 'shard.db'}")

    with pytest.raises(FileNotCreated, match=r"shard\.db cannot be created: No such file or directory"):
        create_inbox(shard, None)


def test_sqlite_connections_are_durable_and_check_references(shard: Shard) -> None:
    """The write-ahead log, synced at each commit; foreign keys as other databases have them."""
    with shard.connect() as connection:
        shown = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]

    assert shown == ["wal", 2, 1, 5000]


def test_a_writing_transaction_holds_the_write_lock_from_its_begin(shard: Shard) -> None:
    """So that it waits at its begin, within the lock time-out, and never fails half-way."""
    with shard.connect() as connection, connection.begin():
        with pytest.raises(Exception, match="locked") as error, sqlite_impatient(shard).connect() as other:
            other.execute(text("SELECT 1"))

        assert classify(error.value, "sqlite").kind is Kind.BUSY


def test_a_full_pool_is_a_shard_that_is_away(tmp_path: Path) -> None:
    """It waits a second at most: a sick shard must not hold the threads."""
    shard = sqlite_shard(tmp_path, limit=1)
    with shard.connect() as connection, connection.begin():
        with pytest.raises(Exception, match="all connections are in use") as error:
            store_on(shard).run(identity(), order_work())
        assert classify(error.value, "sqlite").kind is Kind.AWAY
    shard.close()


def test_postgresql_is_told_its_time_outs_when_it_connects() -> None:
    """In milliseconds, with keep-alives that notice a dead peer."""
    arguments = connect_arguments(
        make_url("postgresql+psycopg://w@db/c"),
        section("-", connect_timeout="7s", lock_timeout="250ms", statement_timeout="90s"),
    )

    assert arguments["options"].startswith("-c lock_timeout=250 -c statement_timeout=90000 ")
    assert arguments["connect_timeout"] == 7


def test_mariadb_is_told_its_time_outs_when_it_connects() -> None:
    """In whole seconds, never zero; the socket gives up a little after the server should have."""
    values = section("-", connect_timeout="7s", lock_timeout="250ms", statement_timeout="90s")
    mariadb = connect_arguments(make_url("mariadb+pymysql://w@db/c"), values)
    mysql = connect_arguments(make_url("mysql+pymysql://w@db/c"), values)

    assert mariadb["connect_timeout"] == mysql["connect_timeout"] == 7
    assert mariadb["read_timeout"] == mysql["write_timeout"] == 100
    assert "innodb_lock_wait_timeout = 1" in session_statement(values, is_mariadb=False)
    assert "max_statement_time = 90.0" in session_statement(values, is_mariadb=True)


def test_what_the_url_says_itself_wins() -> None:
    """A connection pooler that refuses start-up options gets none if the URL says so."""
    url = make_url("postgresql+psycopg://w@db/c?options=%20&application_name=mine")
    arguments = connect_arguments(url, section("-"))

    assert "options" not in arguments
    assert "application_name" not in arguments


def test_a_closed_shard_can_be_used_again(shard: Shard) -> None:
    """Closing lets go of idle connections and no more."""
    shard.close()

    assert check_inbox(shard, None) == []


def sqlite_impatient(shard: Shard) -> Shard:
    """The same database through connections that wait for nothing."""
    return Shard("one", settings.Shard(url=str(shard.engine.url), lock_timeout=timedelta()))
