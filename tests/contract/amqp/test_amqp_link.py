"""The thread that a connection to RabbitMQ lives on: whatever happens on it, who asks next is served."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from kombu.connection import Connection

from worker.transports.addresses import AmqpAddress
from worker.transports.amqp_connections import open_connection
from worker.transports.amqp_link import Link
from worker.transports.base import TransportError

made: list[Connection] = []


@pytest.fixture
def link(address: AmqpAddress) -> Iterator[Link]:
    def connect(note_blocked: Callable[[bool], None]) -> Connection:
        made.append(open_connection(address, lambda: None, note_blocked))
        return made[-1]

    made.clear()
    with closing(Link(address.queue_name, "test", connect)) as link:
        yield link


def is_served(link: Link) -> bool:
    return link.post(lambda connection: connection is made[-1]).result(20)


def fail(*_: object) -> None:
    raise KeyError("defect")


def test_a_connection_on_which_something_unexpected_happened_is_used_no_more(link: Link) -> None:
    """Who asked is told what it was; the next one to ask gets another connection."""
    with pytest.raises(KeyError):
        link.call(fail)
    assert is_served(link)
    assert len(made) == 2


def test_a_connection_that_ends_with_much_to_be_read_is_made_anew(link: Link) -> None:
    """What was still to be looked at on the old one is forgotten."""

    def break_soon(_connection: Connection) -> None:
        link.call_soon(fail)
        link.call_soon(fail)

    link.call(break_soon)
    assert is_served(link)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_a_defect_ended_is_replaced(address: AmqpAddress) -> None:
    """No queue stays unserved for good."""
    defects = [KeyError("defect")]

    def connect(note_blocked: Callable[[bool], None]) -> Connection:
        return open_connection(address, lambda: None, note_blocked)

    def note_broken(_error: TransportError) -> None:
        if defects:
            raise defects.pop()

    with closing(Link(address.queue_name, "test", connect, broken=note_broken)) as link:
        thread = link.call(lambda _connection: threading.current_thread())
        link.call(lambda _connection: link.call_soon(fail))
        thread.join(20)
        assert not thread.is_alive()
        assert link.post(lambda _connection: True).result(20)
