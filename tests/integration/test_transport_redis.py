"""A queue on Redis beside others who use the server: kombu's own, people with redis-cli, a full memory."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.messaging import Producer
from redis import Redis

from tests.support.certificates import certificates
from tests.support.private_server import PASSWORD, free_port
from tests.support.receiving import LEASE, NO_WAIT, bodies, send_bodies, take, take_all, waiting_receive
from tests.support.redis_server import RedisServer, running_redis
from worker.transports.addresses import RedisAddress, read_address
from worker.transports.base import Attribute, Delivery, Depth, Message, TransportError
from worker.transports.redis import RedisTransport

SETTINGS = {
    "maxmemory": 0,
    "maxmemory-policy": "noeviction",
    "requirepass": PASSWORD,
    "appendfsync": "always",
}
STRANGE = [
    b"",
    b"\xff\xfe",
    b"null",
    b'"x"',
    b'{"properties": []}',
    b'{"type": "Feature", "properties": {"name": "x"}}',
    b"[" * 200_000,
    b'{"body": "?", "properties": {"delivery_tag": "t", "delivery_info": {}, "body_encoding": "base64"}}',
    b'{"body": "x", "headers": 7, "properties": {"delivery_tag": "t", "delivery_info": {}}}',
]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def person(server: RedisServer) -> Iterator[Redis]:
    """Somebody at redis-cli; what they set is set back."""
    with server.client() as client:
        yield client
        for name, value in SETTINGS.items():
            client.config_set(name, value)


@pytest.fixture
def queue(server: RedisServer) -> Iterator[RedisTransport]:
    transport = opened(server.url(f"requests-{uuid4().hex[:8]}"))
    transport.create()
    yield transport
    transport.close()


def opened(url: str, password: str | None = None) -> RedisTransport:
    address = read_address(url)
    assert isinstance(address, RedisAddress)
    return RedisTransport(address, password=lambda: password)


def take_for_long(queue: RedisTransport, count: int, lease: timedelta = LEASE) -> list[Delivery]:
    """So many deliveries, whenever they come."""
    taken: list[Delivery] = []
    while len(taken) < count:
        received = queue.receive(10, timedelta(seconds=20), lease)
        assert received
        taken += received
    return taken


def test_a_text_pushed_by_hand_is_a_message(queue: RedisTransport, person: Redis) -> None:
    """Its body is the text; its id is the same for who looks and who takes; its arrival stays the same."""
    person.lpush(queue.name, '{"job_id": "by hand"}')
    (seen,) = queue.browse(10)
    (taken,) = take(queue)
    assert (taken.body, taken.attributes, taken.message_id) == ('{"job_id": "by hand"}', {}, seen.message_id)
    queue.release([(taken, NO_WAIT)])
    (again,) = take(queue)
    assert (again.sent_at, again.receive_count) == (taken.sent_at, 2)


def test_whatever_is_pushed_arrives_and_stops_nothing(queue: RedisTransport, person: Redis) -> None:
    """Of two equal texts, each is a message of its own."""
    person.lpush(queue.name, *STRANGE, *STRANGE)
    assert len(queue.browse(100)) == 2 * len(STRANGE)
    taken = take_all(queue, 2 * len(STRANGE))
    assert len({one.message_id for one in taken}) == 2 * len(STRANGE)
    assert queue.ack(taken[:1]) == {}
    assert queue.depth().leased == 2 * len(STRANGE) - 1
    assert queue.ack(taken) == {}
    assert sum(queue.depth()) == 0


def test_kombus_own_producers_and_consumers_are_at_the_other_end(
    queue: RedisTransport, server: RedisServer
) -> None:
    """What kombu sends arrives with its headers; what we send kombu reads with ours."""
    with Connection(server.url("x").partition("?")[0]) as connection, connection.channel() as channel:
        Producer(channel).publish({"a": 1}, routing_key=queue.name, headers={"type": "orders.insert"})
        (delivery,) = take(queue)
        assert (delivery.body, delivery.headers) == ('{"a": 1}', {"type": "orders.insert"})
        queue.send([Message("ü", {"type": Attribute("String", "orders.result")})])
        message = Queue(queue.name, channel=channel).get()
        assert (message.payload, message.headers["type"]) == ("ü", "orders.result")
        message.ack()
    assert queue.depth() == Depth(waiting=0, leased=1, delayed=0)


def test_nothing_is_left_of_a_message_that_was_acked(queue: RedisTransport, person: Redis) -> None:
    """However often it was received, released and delayed."""
    queue.send([Message("a"), Message("b", delay=timedelta(milliseconds=1))])
    deliveries = take_for_long(queue, 2)
    queue.release([(delivery, timedelta(milliseconds=1)) for delivery in deliveries])
    again = take_for_long(queue, 2)
    assert {one.receive_count for one in again} == {2}
    queue.ack(again)
    assert person.keys(f"{queue.name}*") == [f"{queue.name}:created".encode()]


def test_neither_what_came_back_nor_what_is_new_keeps_the_other_waiting(queue: RedisTransport) -> None:
    """Also where one message is asked for at a time."""
    send_bodies(queue, *["old"] * 4)
    queue.release([(delivery, NO_WAIT) for delivery in take_all(queue, 4)])
    send_bodies(queue, *["new"] * 4)
    assert bodies([take(queue, maximum=1)[0] for _ in range(4)]) == ["new", "new", "old", "old"]


def test_no_more_is_received_than_was_asked_for_whatever_came_back(queue: RedisTransport) -> None:
    """Of what was released and what nobody held any more together."""
    send_bodies(queue, *["released"] * 11)
    held = take_all(queue, 11)
    send_bodies(queue, *["expired"] * 3)
    take_for_long(queue, 3, timedelta(milliseconds=1))
    queue.release([(delivery, NO_WAIT) for delivery in held])
    assert len(take(queue, maximum=8)) == 8


def test_a_look_shows_first_what_comes_next(queue: RedisTransport) -> None:
    """What came back, and the oldest of the others."""
    send_bodies(queue, "back")
    (held,) = take(queue)
    for body in ("first", "second", "third"):
        send_bodies(queue, body)
    queue.release([(held, NO_WAIT)])
    assert [one.body for one in queue.browse(3)] == ["back", "first", "second"]


def test_a_receive_that_waits_wakes_when_a_message_is_given_back(queue: RedisTransport) -> None:
    """It looks once a second for what does not come through the list."""
    send_bodies(queue, "back")
    held = take(queue)
    with waiting_receive(queue, timedelta(seconds=20)) as received:
        queue.release([(held[0], NO_WAIT)])
        assert bodies(received.result()) == ["back"]


def test_a_server_whose_memory_is_full_can_be_emptied(queue: RedisTransport, person: Redis) -> None:
    """It takes nothing new and says so; what it has can be received, held, given back and acked."""
    send_bodies(queue, *(str(number) for number in range(6)))
    queue.release([(delivery, NO_WAIT) for delivery in take(queue, maximum=3)])
    person.config_set("maxmemory", 1)
    with pytest.raises(TransportError, match="OutOfMemoryError"):
        queue.send([Message("new")])
    deliveries = take_all(queue, 6)
    assert bodies(deliveries) == [str(number) for number in range(6)]
    assert queue.extend(deliveries, timedelta(seconds=90)) == {}
    assert queue.release([(deliveries[0], NO_WAIT)]) == {}
    assert queue.ack([*deliveries[1:], *take(queue)]) == {}
    assert sum(queue.depth()) == 0


@pytest.mark.parametrize("suffix", ["messages", "receives", "receipts", "leased", "delayed"])
def test_a_key_that_others_took_loses_no_message(queue: RedisTransport, person: Redis, suffix: str) -> None:
    """Receives fail as long as it is not what it should be, and take nothing off the list."""
    send_bodies(queue, "kept")
    person.set(f"{queue.name}:{suffix}", "theirs")
    for _ in range(2):  # each begins with another kind of message
        with pytest.raises(TransportError):
            take(queue)
    person.delete(f"{queue.name}:{suffix}")
    assert [(one.body, one.receive_count) for one in take(queue)] == [("kept", 1)]


def test_an_empty_queue_is_waited_for_where_the_memory_is_full(queue: RedisTransport, person: Redis) -> None:
    """Other queues may have filled it: that is no failure of this one."""
    person.config_set("maxmemory", 1_000_000)
    with pytest.raises(TransportError):
        queue.send([Message("no room")])
    assert queue.receive(10, timedelta(seconds=0.1), LEASE) == []


def test_a_release_that_fails_leaves_the_message_where_it_was(queue: RedisTransport, person: Redis) -> None:
    """It is held as before, and comes back when its lease ends."""
    send_bodies(queue, "kept")
    (held,) = take(queue)
    person.set(f"{queue.name}:delayed", "theirs")
    with pytest.raises(TransportError):
        queue.release([(held, NO_WAIT)])
    person.delete(f"{queue.name}:delayed")
    assert queue.depth() == Depth(0, 1, 0)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("maxmemory-policy", "allkeys-lru", "drops messages"),
        ("appendfsync", "everysec", "last second or two"),
    ],
)
def test_a_setting_that_loses_messages_is_told(
    queue: RedisTransport, person: Redis, name: str, value: str, sentence: str
) -> None:
    """In a sentence with the setting's name; nothing else is told."""
    assert queue.check() == []
    person.config_set(name, value)
    (found,) = queue.check()
    assert name in found
    assert sentence in found


def test_a_server_without_an_append_only_file_or_in_a_cluster_is_told() -> None:
    """Neither keeps a queue."""
    with running_redis(appendonly="no") as server:
        queue = opened(server.url("requests"))
        queue.create()
        (found,) = queue.check()
        queue.close()
    assert "appendonly is off" in found
    with running_redis(cluster_enabled="yes") as server:
        queue = opened(server.url("requests"))
        found = queue.check()[0]
        queue.close()
    assert "Redis Cluster" in found


def test_a_server_that_became_a_replica_is_left(queue: RedisTransport, person: Redis) -> None:
    """After a failover the name leads to another server: the next call connects anew."""
    send_bodies(queue, "before")
    person.replicaof("127.0.0.1", free_port())
    with pytest.raises(TransportError, match="ReadOnlyError"):
        queue.send([Message("refused")])
    connections = person.info("stats")["total_connections_received"]
    person.replicaof("NO", "ONE")
    assert bodies(take(queue)) == ["before"]
    assert person.info("stats")["total_connections_received"] > connections


def test_a_password_is_read_anew_for_each_connection(
    queue: RedisTransport, person: Redis, server: RedisServer
) -> None:
    """One that was changed needs no restart; none is ever told."""
    valid = PASSWORD
    address = RedisAddress(f"redis://127.0.0.1:{server.port}/0", queue.name)
    other = RedisTransport(address, password=lambda: valid)
    send_bodies(other, "before")
    person.config_set("requirepass", "another-secret")
    person.client_kill_filter(_type="normal", skipme=True)
    with pytest.raises(TransportError, match="invalid username-password") as raised:
        other.depth()
    assert PASSWORD not in str(raised.value)
    valid = "another-secret"
    assert other.depth().waiting == 1
    other.close()


def test_a_server_behind_tls_must_be_vouched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """`rediss` takes no certificate that neither the machine's authorities nor SSL_CERT_FILE's signed."""
    port = free_port()
    with (
        certificates() as files,
        running_redis(
            tls_port=str(port),
            tls_cert_file=str(files.server),
            tls_key_file=str(files.server_key),
            tls_ca_cert_file=str(files.authority),
            tls_auth_clients="no",
        ),
    ):
        url = f"rediss://:{PASSWORD}@127.0.0.1:{port}/0?queue=requests"
        trusting, doubting = opened(url), opened(url)
        monkeypatch.setenv("SSL_CERT_FILE", str(files.authority))
        assert trusting.create()
        monkeypatch.setenv("SSL_CERT_FILE", str(files.stranger))
        with pytest.raises(TransportError, match="CERTIFICATE_VERIFY_FAILED"):
            doubting.depth()
        trusting.close()
        doubting.close()
