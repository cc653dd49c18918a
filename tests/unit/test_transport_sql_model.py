"""The embedded queue in an SQLite file does what a simple model of a queue with leases does."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.fakes import ManualTime
from tests.support.queue_machine import QueueMachine, passing
from worker.transports.addresses import sqlite_url
from worker.transports.sql import SqlTransport


@pytest.mark.timeout(400)  # a failure is made small before it is told, which takes a while
def test_any_order_of_calls_does_what_the_model_does() -> None:
    """Nothing vanishes, is delivered to two, or comes again after its ack; counts and order are kept."""
    with tempfile.TemporaryDirectory() as home:

        class SqliteMachine(QueueMachine):
            """Each in a directory of its own."""

            def __init__(self) -> None:
                url = sqlite_url(str(Path(tempfile.mkdtemp(dir=home)) / "queues.db"))

                def open_queue(name: str, time: ManualTime) -> SqlTransport:
                    return SqlTransport(url, name, clock=lambda: time.seconds, pause=passing(time))

                super().__init__(open_queue)

        run_state_machine_as_test(SqliteMachine, settings=settings(max_examples=40, stateful_step_count=25))
