"""What becomes of SQS's faults: nothing is fatal, nothing is lost, each entry is told its own."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest

from config.settings import Queues
from tests.support.receiving import LEASE, NO_WAIT, bodies, send_bodies, take, take_all
from tests.support.sqs_server import SqsServer
from worker.transports.base import Delivery, Faults, Message, QueueMissing, Transport, TransportError
from worker.transports.factory import open_transport
from worker.transports.sqs_clients import CONTROL_TRIES

Call = Callable[[Transport, list[Delivery]], object]

CALLS: dict[str, tuple[str, Call]] = {
    "receive": ("ReceiveMessage", lambda queue, _: take(queue)),
    "ack": ("DeleteMessageBatch", lambda queue, held: queue.ack(held)),
    "release": (
        "ChangeMessageVisibilityBatch",
        lambda queue, held: queue.release([(delivery, NO_WAIT) for delivery in held]),
    ),
    "extend": ("ChangeMessageVisibilityBatch", lambda queue, held: queue.extend(held, LEASE)),
    "send": ("SendMessageBatch", lambda queue, _: queue.send([Message("more")])),
    "depth": ("GetQueueAttributes", lambda queue, _: queue.depth()),
    "retention": ("GetQueueAttributes", lambda queue, _: queue.retention()),
}
WHOLE_CALLS: dict[str, dict[str, Any]] = {
    "throttled": {"code": "ThrottlingException", "status": 400},
    "unavailable": {"code": "ServiceUnavailable", "status": 503},
    "internal": {"code": "InternalFailure", "status": 500},
    "expired": {"code": "ExpiredTokenException", "status": 403},
    "denied": {"code": "AccessDeniedException", "status": 403},
    "dropped": {"drop": True},
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SqsServer]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with SqsServer() as server:
        yield server


@pytest.fixture
def queue(server: SqsServer) -> Iterator[Transport]:
    url = "sqs://requests"
    settings = Queues(
        request=[url], response=url, failure=url, region="eu-west-1", endpoint_url=server.endpoint_url
    )
    transport = open_transport(url, settings, timedelta(seconds=30))
    transport.create()
    yield transport
    transport.close()


@pytest.mark.parametrize("fault", WHOLE_CALLS.values(), ids=WHOLE_CALLS.keys())
@pytest.mark.parametrize(("action", "call"), CALLS.values(), ids=CALLS.keys())
def test_a_call_that_fails_as_a_whole_can_be_repeated(
    server: SqsServer, queue: Transport, action: str, call: Call, fault: dict[str, Any]
) -> None:
    """It raises `TransportError`, and the same call works when SQS does again."""
    send_bodies(queue, "a", "b")
    held = take(queue, maximum=1)
    server.fail_next(action, times=CONTROL_TRIES, **fault)
    with pytest.raises(TransportError) as raised:
        call(queue, held)
    assert not isinstance(raised.value, QueueMissing)
    assert held[0].receipt not in f"{raised.value} {raised.value.__cause__}"
    server.heal()
    assert call(queue, held) is not None


def test_a_passing_fault_of_a_quick_call_is_repeated_by_the_client(
    server: SqsServer, queue: Transport
) -> None:
    """One throttled send is not seen by the caller."""
    server.fail_next("SendMessageBatch", code="ThrottlingException", status=400)
    send_bodies(queue, "a")
    assert server.counts["SendMessageBatch"] == 2


def test_a_receive_is_never_repeated_by_the_client(server: SqsServer, queue: Transport) -> None:
    """The receiver has a back-off of its own, and may be about to stop."""
    server.fail_next("ReceiveMessage")
    with pytest.raises(TransportError):
        take(queue)
    assert server.counts["ReceiveMessage"] == 1


def test_entries_fail_by_themselves(server: SqsServer, queue: Transport) -> None:
    """Those that SQS could not do now are faults that can be repeated; the others are done."""
    server.fail_next("SendMessageBatch", entries=(1, 3), code="InternalError")
    faults = queue.send([Message(str(number)) for number in range(5)])
    assert sorted(faults) == [1, 3]
    assert not any(fault.final or fault.lost for fault in faults.values())
    assert bodies(take_all(queue, 3)) == ["0", "2", "4"]


def test_an_entry_that_sqs_refuses_for_good_is_final(server: SqsServer, queue: Transport) -> None:
    """Where the sender is to blame, sending it again cannot help; for throttling it can."""
    server.fail_next("SendMessageBatch", entries=(0,), code="InvalidMessageContents", sender_fault=True)
    assert queue.send([Message("a")])[0].final
    server.fail_next("SendMessageBatch", entries=(0,), code="KmsThrottled", sender_fault=True)
    assert not queue.send([Message("a")])[0].final


@pytest.mark.parametrize("code", ["ReceiptHandleIsInvalid", "InvalidParameterValue", "MessageNotInflight"])
def test_a_receipt_that_sqs_does_not_know_is_a_lost_lease(
    server: SqsServer, queue: Transport, code: str
) -> None:
    """Whichever of its codes SQS chooses to say so."""
    send_bodies(queue, "a", "b")
    held = take_all(queue, 2)
    server.fail_next("ChangeMessageVisibilityBatch", entries=(1,), code=code, sender_fault=True)
    assert {position: fault.lost for position, fault in queue.extend(held, LEASE).items()} == {1: True}


def test_a_delete_that_fails_now_is_no_lost_lease(server: SqsServer, queue: Transport) -> None:
    """The message is still ours to ack."""
    send_bodies(queue, "a")
    held = take(queue)
    server.fail_next("DeleteMessageBatch", entries=(0,), code="InternalError")
    faults = queue.ack(held)
    assert [(fault.lost, fault.final) for fault in faults.values()] == [(False, False)]
    assert queue.ack(held) == {}


def test_an_entry_that_the_answer_does_not_mention_counts_as_failed(
    server: SqsServer, queue: Transport
) -> None:
    """Only what SQS says it accepted is accepted."""
    server.fail_next("SendMessageBatch", entries=(1,), code="")
    assert {position: fault.code for position, fault in queue.send([Message("a"), Message("b")]).items()} == {
        1: "NoAnswer"
    }


def test_faults_keep_their_positions_across_requests_and_refused_entries(
    server: SqsServer, queue: Transport
) -> None:
    """A position is the caller's, whatever was split or never sent."""
    batch = [Message(str(number) if number != 4 else "") for number in range(25)]
    server.fail_next("SendMessageBatch", after=1, entries=(0, 9), code="InternalError")
    faults = queue.send(batch)
    assert {position: fault.code for position, fault in faults.items()} == {
        4: "InvalidMessageContents",
        11: "InternalError",
        20: "InternalError",
    }


def test_a_later_request_that_fails_leaves_the_earlier_ones_done(server: SqsServer, queue: Transport) -> None:
    """What was accepted is not told as failed: it must not be sent twice."""
    server.fail_next("SendMessageBatch", after=1, times=CONTROL_TRIES)
    faults = queue.send([Message(str(number)) for number in range(25)])
    assert sorted(faults) == list(range(10, 25))
    assert not any(fault.final for fault in faults.values())
    assert len(take_all(queue, 25)) == 10


def refused(faults: Faults) -> list[int]:
    return sorted(position for position, fault in faults.items() if fault.final)


def test_one_message_that_spoils_a_whole_request_is_found(server: SqsServer, queue: Transport) -> None:
    """Where SQS refuses the request and not the entry, the others are sent without it."""
    server.fail_next("SendMessageBatch", times=3, code="InvalidMessageContents", status=400)
    faults = queue.send([Message(str(number)) for number in range(4)])
    assert refused(faults) == [0]
    assert bodies(take_all(queue, 3)) == ["1", "2", "3"]


def test_a_queue_deleted_meanwhile_is_missing(server: SqsServer, queue: Transport) -> None:
    """It is said on each call, and works again when the queue is back."""
    send_bodies(queue, "a")
    stored = server.service.queues.pop("requests")
    with pytest.raises(QueueMissing):
        take(queue)
    server.service.queues["requests"] = stored
    assert bodies(take(queue)) == ["a"]


def test_the_queues_url_is_asked_for_once(server: SqsServer, queue: Transport) -> None:
    """After that each call is one request, and a batch one per ten."""
    server.counts.clear()
    send_bodies(queue, *(str(number) for number in range(20)))
    assert queue.ack(take_all(queue, 20)) == {}
    assert server.counts == {"SendMessageBatch": 2, "ReceiveMessage": 2, "DeleteMessageBatch": 2}


def test_a_queue_tells_its_own_retention(server: SqsServer, queue: Transport) -> None:
    """As it is now, not as we once made it."""
    server.service.queues["requests"].attributes["MessageRetentionPeriod"] = "3600"
    assert queue.retention() == timedelta(hours=1)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"MessageRetentionPeriod": "345600"}, "kept for 4 days"),
        ({"RedrivePolicy": '{"maxReceiveCount": 3}'}, "redrive policy"),
        ({"VisibilityTimeout": "0"}, "visibility timeout"),
        ({"MaximumMessageSize": "262144"}, "262144 bytes"),
    ],
)
def test_check_tells_what_a_queue_is_not_set_up_for(
    server: SqsServer, queue: Transport, attributes: dict[str, str], expected: str
) -> None:
    """One sentence for each setting that loses or doubles messages."""
    assert queue.check() == []
    server.service.queues["requests"].attributes.update(attributes)
    (sentence,) = queue.check()
    assert expected in sentence


def test_without_credentials_a_call_fails_like_any_other(
    server: SqsServer, queue: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may come later: the daemon must not die of it."""
    del server
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    settings = Queues(request=["sqs://a"], response="sqs://b", failure="sqs://c", region="eu-west-1")
    with pytest.raises(TransportError, match="NoCredentials"):
        open_transport("sqs://requests", settings, timedelta(seconds=30)).depth()
    assert queue.depth().waiting == 0


def test_an_ack_does_not_wait_for_a_long_poll(queue: Transport, server: SqsServer) -> None:
    """Polls have a client of their own: what is done is acked while the queue is still waited for."""
    send_bodies(queue, "done")
    (delivery,) = take(queue)
    received: list[Delivery] = []
    poll = Thread(
        target=lambda: received.extend(queue.receive(10, timedelta(seconds=20), LEASE)), daemon=True
    )
    before = server.counts["ReceiveMessage"]
    poll.start()
    while server.counts["ReceiveMessage"] == before:
        poll.join(0.01)

    assert queue.ack([delivery]) == {}
    assert poll.is_alive()
    send_bodies(queue, "next")
    poll.join(10)
    assert [one.body for one in received] == ["next"]
