"""What every transport promises about sending, receiving, looking and creating."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.queue_backends import Backend
from tests.support.receiving import NO_WAIT, bodies, come, send_bodies, take, take_all, waiting_receive
from worker.transports.base import Attribute, Depth, Message, QueueMissing, Transport

BODIES = {
    "ascii": '{"job_id": "1"}',
    "unicode": "Grüße, 東京, \U0001f600, e\u0301",
    "line ends": "a\r\nb\tc\u2028d",
    "quotes": "\"'\\%s%%{}",
    "edges": "\ud7ff\ue000\ufffd\U0010ffff",
    "looks like base64": "aGVsbG8gd29ybGQh",
    "spaces": "  a  ",
}
ATTRIBUTES = {
    "type": Attribute("String", "orders.insert"),
    "Shardworker": Attribute("String", '{"run": 2, "reason": "é"}'),
    "labelled": Attribute("String.uuid", "0b7c"),
    "number": Attribute("Number", "-12.5"),
    "counted.int": Attribute("Number.int", "7"),
    "bytes": Attribute("Binary", b"\x00\xff\n"),
    "picture": Attribute("Binary.png", b"\x89PNG"),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_body_arrives_as_it_was_sent(queue: Transport, body: str) -> None:
    """Bodies are text: no character that a queue takes is changed."""
    send_bodies(queue, body)
    assert [delivery.body for delivery in take(queue)] == [body]


def test_attributes_of_every_type_arrive_as_they_were_sent(queue: Transport) -> None:
    """Names, types with labels, texts and bytes survive; plain strings are the headers."""
    assert queue.send([Message("a", ATTRIBUTES)]) == {}
    (delivery,) = take(queue)
    assert dict(delivery.attributes) == ATTRIBUTES
    assert delivery.headers == {"type": "orders.insert", "Shardworker": '{"run": 2, "reason": "é"}'}


def test_a_delivery_tells_group_count_and_time(queue: Transport) -> None:
    """The group is the sender's, the count starts at one, the time is the sending's."""
    queue.send([Message("grouped", group="acme"), Message("alone")])
    deliveries = {delivery.body: delivery for delivery in take_all(queue, 2)}
    assert deliveries["grouped"].group == "acme"
    assert deliveries["alone"].group is None
    assert {delivery.receive_count for delivery in deliveries.values()} == {1}
    age = datetime.now(UTC) - deliveries["alone"].sent_at
    assert timedelta(minutes=-1) < age < timedelta(minutes=1)


def test_receipts_and_bodies_do_not_show_in_logs(queue: Transport) -> None:
    """What a delivery prints as holds neither its receipt nor its content."""
    queue.send([Message("s3cret-body", {"name": Attribute("String", "s3cret-value")})])
    (delivery,) = take(queue)
    assert delivery.receipt not in repr(delivery)
    assert "s3cret" not in repr(delivery)


def test_empty_batches_do_nothing(queue: Transport) -> None:
    """No call minds an empty batch."""
    assert (queue.send([]), queue.ack([]), queue.release([])) == ({}, {}, {})
    assert queue.extend([], timedelta(seconds=30)) == {}


def test_batches_of_any_size_go_through(queue: Transport) -> None:
    """More than ten at once are sent, extended, released and acked."""
    sent = [f"message {number:02}" for number in range(23)]
    send_bodies(queue, *sent)
    deliveries = take_all(queue, 23)
    assert bodies(deliveries) == sent
    assert queue.extend(deliveries, timedelta(seconds=60)) == {}
    assert queue.release([(delivery, NO_WAIT) for delivery in deliveries]) == {}
    assert queue.ack(take_all(queue, 23)) == {}
    assert take(queue) == []


def test_a_receive_brings_no_more_than_was_asked_for(queue: Transport) -> None:
    """`maximum` is a maximum, and never more than ten."""
    send_bodies(queue, *(str(number) for number in range(12)))
    assert len(take(queue, maximum=3)) <= 3
    assert len(take(queue, maximum=100)) <= 10


def test_a_batch_larger_than_one_request_is_split_by_bytes(queue: Transport) -> None:
    """Five messages of 400,000 bytes do not fit one request of 1 MiB."""
    sent = [str(number) + "x" * 400_000 for number in range(5)]
    send_bodies(queue, *sent)
    assert bodies(take_all(queue, 5)) == sent


def test_the_largest_message_goes_through_and_one_byte_more_is_refused_alone(queue: Transport) -> None:
    """The limit counts body, attribute names, types and values; a fault is the entry's own and final."""
    attributes = {"name": Attribute("String", "é")}
    room = queue.message_bytes_maximum - len("name" + "String") - 2
    faults = queue.send(
        [Message("small"), Message("x" * (room + 1), attributes), Message("y" * room, attributes)]
    )
    assert {position: fault.final for position, fault in faults.items()} == {1: True}
    assert bodies(take_all(queue, 2)) == ["small", "y" * room]


@pytest.mark.parametrize("body", ["", "\x00", "a\x1fb", "\ufffe", "\ud800"])
def test_a_body_that_queues_refuse_is_a_final_fault_of_its_entry_alone(queue: Transport, body: str) -> None:
    """The others of the batch are sent."""
    faults = queue.send([Message("before"), Message(body), Message("after")])
    assert {position: fault.final for position, fault in faults.items()} == {1: True}
    assert bodies(take_all(queue, 2)) == ["after", "before"]


def test_too_many_attributes_are_a_final_fault(queue: Transport) -> None:
    """Ten go through, eleven do not."""
    eleven = {f"name-{number}": Attribute("String", "value") for number in range(11)}
    ten = dict(list(eleven.items())[:10])
    faults = queue.send([Message("ten", ten), Message("eleven", eleven)])
    assert {position: fault.final for position, fault in faults.items()} == {1: True}


def test_a_delayed_message_comes_when_its_delay_is_over(queue: Transport, backend: Backend) -> None:
    """Until then it counts as delayed and is not received."""
    queue.send([Message("later", delay=timedelta(seconds=1)), Message("now")])
    assert bodies(take_all(queue, 2)) == ["now"]
    assert queue.depth().delayed == 1
    backend.pass_time(1.1)
    assert bodies(come(queue)) == ["later"]


@pytest.mark.parametrize("delay", [timedelta(seconds=901), timedelta(seconds=-1)])
def test_a_delay_that_no_queue_has_is_the_callers_mistake(queue: Transport, delay: timedelta) -> None:
    """It is never clamped silently, and nothing of the batch is sent."""
    with pytest.raises(ValueError, match="delay"):
        queue.send([Message("fine"), Message("far", delay=delay)])
    assert take(queue) == []


def test_a_receive_waits_on_an_empty_queue(queue: Transport) -> None:
    """It returns empty-handed after the wait, and not before."""
    started = time.monotonic()
    assert queue.receive(10, timedelta(seconds=1), timedelta(seconds=30)) == []
    assert 0.9 < time.monotonic() - started < 60


def test_a_receive_that_waits_wakes_when_a_message_is_sent(queue: Transport, backend: Backend) -> None:
    """Also when another transport, as of another process, sends it."""
    with waiting_receive(queue, timedelta(seconds=20)) as received:
        time.sleep(0.3)
        started = time.monotonic()
        send_bodies(backend.open(), "wake up")
        assert bodies(received.result()) == ["wake up"]
    assert time.monotonic() - started < 15


def test_queues_of_one_place_do_not_mix(backend: Backend) -> None:
    """A message is received from the queue that it was sent to, and from no other."""
    requests, results = backend.open("requests"), backend.open("results")
    requests.create()
    results.create()
    send_bodies(requests, "request")
    send_bodies(results, "result")
    assert (bodies(take(requests)), bodies(take(results))) == (["request"], ["result"])
    assert (requests.depth().leased, results.depth().leased) == (1, 1)


def test_browsing_shows_every_message_once_and_leaves_them_all(queue: Transport) -> None:
    """A look takes nothing and doubles nothing, however many there are."""
    sent = [f"message {number:02}" for number in range(23)]
    send_bodies(queue, *sent)
    assert bodies(queue.browse(100)) == sent
    assert len(queue.browse(5)) == 5
    assert bodies(take_all(queue, 23)) == sent
    assert queue.browse(100) == []


def test_depth_counts_the_waiting_the_leased_and_the_delayed(queue: Transport) -> None:
    """Each message is counted in one of the three."""
    assert queue.depth() == Depth(0, 0, 0)
    send_bodies(queue, "a", "b", "c")
    queue.send([Message("later", delay=timedelta(seconds=60))])
    (delivery,) = take(queue, maximum=1)
    assert queue.depth() == Depth(waiting=2, leased=1, delayed=1)
    queue.ack([delivery])
    assert queue.depth() == Depth(waiting=2, leased=0, delayed=1)


def test_a_queue_that_we_made_tells_that_it_keeps_messages_for_long(queue: Transport) -> None:
    """Fourteen days, or for ever."""
    assert queue.retention() in {timedelta(days=14), None}


def test_creating_a_queue_again_changes_nothing(queue: Transport, backend: Backend) -> None:
    """A queue is created once; its messages stay, and it is as it should be."""
    send_bodies(queue, "kept")
    assert backend.open().create() is False
    assert bodies(take(queue)) == ["kept"]
    assert queue.check() == []


def test_a_missing_queue_is_said_to_be_missing(backend: Backend) -> None:
    """Every call says so, with the command that creates it."""
    queue = backend.open("never-created")
    for call in (
        lambda: take(queue),
        queue.depth,
        lambda: queue.send([Message("a")]),
        lambda: queue.browse(1),
    ):
        with pytest.raises(QueueMissing, match="shardworker setup"):
            call()
    (sentence,) = queue.check()
    assert "shardworker setup" in sentence


def test_closing_ends_a_receive_that_waits_and_loses_nothing(queue: Transport, backend: Backend) -> None:
    """It returns within its wait; a message sent afterwards is there for others."""
    other = backend.open()
    with waiting_receive(queue, timedelta(seconds=2)) as received:
        time.sleep(0.3)
        queue.close()
        send_bodies(other, "for others")
        assert received.result(timeout=60) == []
    assert bodies(other.receive(10, timedelta(seconds=2), timedelta(seconds=30))) == ["for others"]
