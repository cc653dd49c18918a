"""What the transport promises of SQS's FIFO queues, on the stand-in."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.support.queue_backends import LEASE, ShiftedClock
from tests.support.sqs_server import SqsServer
from worker.transports.addresses import SqsAddress
from worker.transports.base import Attribute, Delivery, Message
from worker.transports.sqs import SqsTransport

AT_ONCE = timedelta()


@pytest.fixture
def queue(server: SqsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqsTransport]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    address = SqsAddress("orders.fifo", endpoint_url=server.endpoint_url, region="eu-west-1")
    queue = SqsTransport(address, lease=LEASE)
    queue.create()
    yield queue
    queue.close()


def messages(*bodies: str) -> list[Message]:
    """Messages in the groups that their first letters name."""
    return [Message(body, group=body[0], deduplication_id=body) for body in bodies]


def receive(queue: SqsTransport) -> list[Delivery]:
    return queue.receive(10, AT_ONCE, LEASE)


def bodies(deliveries: list[Delivery]) -> list[str]:
    return [delivery.body for delivery in deliveries]


def test_a_queue_that_is_created_keeps_order_and_passes_the_check(queue: SqsTransport) -> None:
    """`setup` leaves nothing for `check` to find."""
    queue.send(messages("a1", "b1", "a2"))
    assert queue.is_ordered
    assert queue.check() == []
    assert [(one.group, one.body) for one in receive(queue)] == [("a", "a1"), ("a", "a2"), ("b", "b1")]


def test_the_check_tells_what_breaks_order_or_slows_it(server: SqsServer, queue: SqsTransport) -> None:
    """A redrive policy, and 300 requests a second in all."""
    attributes = server.service.queues["orders.fifo"].attributes
    attributes |= {
        "RedrivePolicy": "{}",
        "FifoThroughputLimit": "perQueue",
    }
    found = " ".join(queue.check())
    assert "breaks the order" in found
    assert "perMessageGroupId" in found


def test_no_message_overtakes_an_earlier_one_of_its_group_that_was_not_accepted(
    server: SqsServer, queue: SqsTransport
) -> None:
    """What follows it is refused with it, the other groups' are accepted; the repeat brings them in order."""
    batch = messages("a1", "b1", "a2", "c1", "b2", "a3")
    server.fail_next("SendMessageBatch", code="InternalError", entries=(0,))
    faults = queue.send(batch)
    assert sorted(faults) == [0, 2, 5]
    assert not any(fault.final for fault in faults.values())
    assert queue.send([batch[position] for position in sorted(faults)]) == {}
    assert bodies(receive(queue)) == ["b1", "b2", "c1", "a1", "a2", "a3"]


def test_a_later_request_that_fails_leaves_nothing_of_its_groups_sent_out_of_turn(
    server: SqsServer, queue: SqsTransport
) -> None:
    """The batch is two requests here, and the second is cut off, once and again by boto3."""
    server.fail_next("SendMessageBatch", times=5, after=1, drop=True)
    faults = queue.send(messages("a1", "b1", "a2", "a3", "b2"))
    assert sorted(faults) == [2, 3, 4]
    assert bodies(receive(queue)) == ["a1", "b1"]


def test_a_message_that_is_never_accepted_holds_nothing_up(queue: SqsTransport) -> None:
    """One of those that follow it may go: it will not come."""
    first, second = messages("a1", "a2")
    faults = queue.send([Message("", group="a"), Message("x", delay=timedelta(seconds=1)), first, second])
    assert {position: fault.final for position, fault in faults.items()} == {0: True, 1: True}
    assert bodies(receive(queue)) == ["a1", "a2"]


def test_a_message_with_neither_group_nor_id_is_accepted_and_waits_for_none(
    server: SqsServer, queue: SqsTransport
) -> None:
    """The same content is one message, so that a send whose answer was lost can be repeated."""
    other = Message("x", {"name": Attribute("String", "y")})
    server.fail_next("SendMessageBatch", drop=True, done=True)
    assert queue.send([Message("x"), other]) == {}
    assert queue.send([Message("x")]) == {}
    first = queue.receive(1, AT_ONCE, LEASE)
    assert bodies(first + receive(queue)) == ["x", "x"]


def test_an_ack_after_the_lease_ran_out_is_a_lost_one(queue: SqsTransport, clock: ShiftedClock) -> None:
    """A FIFO queue tells so, other than a standard one; the message comes again."""
    queue.send(messages("a1"))
    (delivery,) = receive(queue)
    clock.pass_time(LEASE.total_seconds() + 1)
    assert queue.ack([delivery])[0].lost
    assert bodies(receive(queue)) == ["a1"]


def test_browsing_shows_ten_of_a_group_and_leaves_them_in_order(queue: SqsTransport) -> None:
    """While they are held, nothing behind them can be seen; other groups can."""
    queue.send(messages(*(f"a{number:02}" for number in range(12)), "b1"))
    assert bodies(queue.browse(100)) == [*(f"a{number:02}" for number in range(10)), "b1"]
    assert bodies(receive(queue)) == [f"a{number:02}" for number in range(10)]
