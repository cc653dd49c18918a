"""What a part's work fails with, seen through the whole transaction."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, text

from shards.engines import Shard
from shards.failures import Failure, classify
from tests.support.parts import identity, store_on


def failure_of_work(shard: Shard, work: Callable[[Connection], object]) -> Failure:
    """What a part's work fails with, seen through the whole transaction."""

    def encoded(connection: Connection) -> bytes:
        work(connection)
        return b"{}"

    with pytest.raises(Exception) as error:  # noqa: PT011  which one it is, is what the test asks
        store_on(shard).run(identity(), encoded)
    return classify(error.value, shard.dialect)


def statement(sql: str) -> Callable[[Connection], object]:
    """Work of one statement."""
    return lambda connection: connection.execute(text(sql))
