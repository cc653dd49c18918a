"""Several workers on one shard, as tests that every database with many writers must pass.

A subclass gives the fixture `shard`: with an inbox, an empty table of orders and no rows.
"""

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Connection, text

from shards.engines import Shard
from shards.inbox import Outcome
from tests.support.parts import identity, order_numbers, order_work, store_on
from tests.support.writes import execute, order_numbers_inside


class ConcurrencyProtocol:
    """Workers that meet at one part, or at the same rows."""

    def test_eight_workers_with_the_same_part_run_it_once(self, shard: Shard) -> None:
        """Seven wait for the first, and all get the same outcome."""
        bodies = itertools.count()
        barrier = threading.Barrier(8)

        def deliver(_: int) -> Outcome:
            barrier.wait()
            return store_on(shard).run(identity(), order_work(1, b"%d" % next(bodies)))

        with ThreadPoolExecutor(8) as workers:
            outcomes = set(workers.map(deliver, range(8)))

        assert len(outcomes) == 1
        assert order_numbers(shard) == [1]

    def test_a_part_sees_what_was_committed_while_it_ran(self, shard: Shard) -> None:
        """READ COMMITTED: each statement sees the newest rows; MariaDB's own default would not."""
        seen: list[list[int]] = []

        def work(connection: Connection) -> bytes:
            seen.append(order_numbers_inside(connection))
            execute(shard, "INSERT INTO orders (order_no) VALUES (1)")
            seen.append(order_numbers_inside(connection))
            return b"{}"

        store_on(shard).run(identity(), work)

        assert seen == [[], [1]]

    def test_a_deadlock_is_retried_until_both_parts_are_done(self, shard: Shard) -> None:
        """One of the two is the victim; its whole transaction is run again."""
        execute(shard, "INSERT INTO orders (order_no) VALUES (1), (2)")
        barrier = threading.Barrier(2)
        runs: list[int] = []

        def work(first: int, second: int) -> Callable[[Connection], bytes]:
            def update(connection: Connection) -> bytes:
                runs.append(first)
                touch(connection, first)
                if len(runs) <= 2:
                    barrier.wait()
                touch(connection, second)
                return b"{}"

            return update

        with ThreadPoolExecutor(2) as workers:
            one = workers.submit(store_on(shard).run, identity("job-1"), work(1, 2))
            two = workers.submit(store_on(shard).run, identity("job-2"), work(2, 1))
            assert (one.result().state, two.result().state) == ("succeeded", "succeeded")

        assert len(runs) > 2


def touch(connection: Connection, order_no: int) -> None:
    """Lock a row by updating it."""
    connection.execute(
        text("UPDATE orders SET amount = 1 WHERE order_no = :order_no"), {"order_no": order_no}
    )
