"""The embedded queue in PostgreSQL does what a simple model of a queue with leases does."""

from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import make_url

from tests.support.fakes import ManualTime
from tests.support.postgresql import PostgreSQLServer
from tests.support.queue_machine import QueueMachine, passing
from worker.transports.sql import SqlTransport


@pytest.mark.timeout(400)  # a failure is made small before it is told, which takes a while
def test_any_order_of_calls_does_what_the_model_does(server: PostgreSQLServer) -> None:
    """The same as in a file: rows are chosen, locked and skipped by other means there."""
    database = f"queues_{uuid4().hex}"
    server.create_database(database)

    url = make_url(server.url(database))

    class PostgresqlMachine(QueueMachine):
        """Each with queues of its own, in one table."""

        def __init__(self) -> None:
            suffix = uuid4().hex[:8]

            def open_queue(name: str, time: ManualTime) -> SqlTransport:
                return SqlTransport(url, f"{name}-{suffix}", clock=lambda: time.seconds, pause=passing(time))

            super().__init__(open_queue)

    run_state_machine_as_test(PostgresqlMachine, settings=settings(max_examples=10, stateful_step_count=20))
