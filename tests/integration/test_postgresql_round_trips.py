"""How often a part waits for PostgreSQL's answer, counted on the wire."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection

from shards.bulk import RowRefused, insert_rows
from shards.engines import Shard
from tests.support.counting_proxy import CountingProxy, counting_proxy
from tests.support.parts import (
    ORDERS,
    PlacedShard,
    identity,
    order_numbers,
    order_work,
    placed_shard_at,
    shard_at,
    store_on,
)
from tests.support.postgresql import PostgreSQLServer
from tests.support.writes import never


@pytest.fixture(name="proxy")
def start_proxy(server: PostgreSQLServer) -> Iterator[CountingProxy]:
    with counting_proxy(server.port) as proxy:
        yield proxy


@pytest.fixture(name="make", params=[shard_at, placed_shard_at], ids=["plain", "with placement rows"])
def make_shard_maker(request: pytest.FixtureRequest) -> Callable[[str], Shard]:
    maker: Callable[[str], Shard] = request.param
    return maker


@pytest.fixture(name="far")
def make_shard_behind_proxy(
    make: Callable[[str], Shard], server: PostgreSQLServer, url: str, proxy: CountingProxy
) -> Iterator[Shard]:
    """A shard whose connection is open and whose statements are known to the server."""
    shard = make(url.replace(f":{server.port}/", f":{proxy.port}/"))
    store = store_on(shard)
    for number in range(10):
        store.run(identity(f"warm-up-{number}"), five_rows(1000 + 5 * number))
    yield shard
    shard.close()


def five_rows(first: int) -> Callable[[Connection], bytes]:
    """A small part: five rows, inserted as the built-in handler does."""

    def work(connection: Connection) -> bytes:
        insert_rows(connection, ORDERS, [{"order_no": number} for number in range(first, first + 5)])
        return b"{}"

    return work


def test_a_small_part_takes_four_round_trips(far: Shard, proxy: CountingProxy) -> None:
    """BEGIN with the claim and its check, the rows in their savepoint, the outcome, COMMIT and the reset."""
    before = proxy.round_trips
    store_on(far).run(identity(), five_rows(0))

    assert proxy.round_trips - before == 4
    assert order_numbers(far)[:5] == [0, 1, 2, 3, 4]


def test_a_part_that_was_done_before_takes_no_more(far: Shard, proxy: CountingProxy) -> None:
    """The claim finds a row: it is read, with the placement's if that is checked, and its outcome taken."""
    store_on(far).run(identity(), order_work(1))
    before = proxy.round_trips
    store_on(far).run(identity(), never)

    assert proxy.round_trips - before == (4 if isinstance(far, PlacedShard) else 3)


def test_a_refused_row_is_found_and_costs_only_its_own_part(far: Shard, proxy: CountingProxy) -> None:
    """The chunk is undone and sent row by row; the next part is as cheap as ever."""
    rows = [{"order_no": number} for number in (1, 2, 2)]

    def work(connection: Connection) -> bytes:
        with pytest.raises(RowRefused, match="Row 3") as error:
            insert_rows(connection, ORDERS, rows)
        assert error.value.failure.code == "unique_violation"
        return five_rows(0)(connection)

    store_on(far).run(identity(), work)
    before = proxy.round_trips
    store_on(far).run(identity("job-2"), five_rows(10))

    assert proxy.round_trips - before == 4
    assert order_numbers(far)[:10] == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
