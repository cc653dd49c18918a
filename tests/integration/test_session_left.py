"""What a handler leaves behind when it goes: a stream half-way, another role."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, text

from handlers import Reject
from shards.engines import Shard
from shards.inbox import create_inbox
from tests.support.mariadb import MariaDBServer
from tests.support.parts import create_orders, identity, order_numbers, order_work, shard_at, store_on

HUNDRED_THOUSAND = "SELECT generate_series(1, 100000)"
DATABASE = "roles"


def streamed(connection: Connection) -> Iterator[Any]:
    driver: Any = connection.connection.driver_connection
    yield from driver.cursor().stream(HUNDRED_THOUSAND)


def copied(connection: Connection) -> Iterator[Any]:
    driver: Any = connection.connection.driver_connection
    with driver.cursor().copy(f"COPY ({HUNDRED_THOUSAND}) TO STDOUT") as copy:
        yield from copy.rows()


@pytest.mark.parametrize("rows_of", [streamed, copied])
def test_a_handler_that_fails_amid_a_stream_is_rolled_back(
    shard: Shard, rows_of: Callable[[Connection], Iterator[Any]]
) -> None:
    """Its error keeps what it had in hand alive: the driver would wait for the end of that for ever."""

    def work(connection: Connection) -> bytes:
        rows = rows_of(connection)
        for row in rows:
            raise Reject("bad_row", f"{row} is bad.")
        return b"{}"

    with pytest.raises(Reject):
        store_on(shard).run(identity(), work)
    assert store_on(shard).run(identity(), order_work(1)).state == "succeeded"


def test_a_role_that_a_handler_took_is_not_the_next_one_s(mariadb_server: MariaDBServer) -> None:
    """A reset of MariaDB's session leaves it as it is."""
    mariadb_server.create_database(DATABASE)
    mariadb_server.execute(
        "CREATE ROLE own",
        "CREATE ROLE other",
        f"GRANT ALL ON {DATABASE}.* TO own",
        f"GRANT SELECT, INSERT, UPDATE ON {DATABASE}.* TO other",
        "CREATE USER login@'%' IDENTIFIED BY 'secret'",
        "GRANT own TO login@'%'",
        "GRANT other TO login@'%'",
        "SET DEFAULT ROLE own FOR login@'%'",
    )
    owner = shard_at(mariadb_server.url(DATABASE))
    create_inbox(owner, None)
    create_orders(owner)
    shard = shard_at(mariadb_server.url(DATABASE, user="login", password="secret"))
    seen: list[str] = []

    def takes_role(role: str, connection: Connection) -> bytes:
        seen.append(connection.execute(text("SELECT CURRENT_ROLE()")).scalar_one())
        connection.execute(text(f"SET ROLE {role}"))
        raise Reject("bad_row", "All is bad.")

    for role in ("NONE", "other", "own"):
        with pytest.raises(Reject):
            store_on(shard).run(identity(), partial(takes_role, role))

    assert seen == ["own"] * 3
    assert order_numbers(owner) == []
    for each in (owner, shard):
        each.close()
