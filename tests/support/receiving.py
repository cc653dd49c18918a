"""Short hands for tests that receive."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

from worker.transports.base import Delivery, Message, Transport

NO_WAIT = timedelta()
LEASE = timedelta(seconds=30)


def take(queue: Transport, maximum: int = 10, lease: timedelta = LEASE) -> list[Delivery]:
    """What is visible now."""
    return queue.receive(maximum, NO_WAIT, lease)


def come(queue: Transport) -> list[Delivery]:
    """What is there as soon as anything is: a broker with a clock of its own may take its time."""
    return queue.receive(10, timedelta(seconds=20), LEASE)


def come_all(queue: Transport, count: int) -> list[Delivery]:
    """So many messages, of which some may be on their way yet."""
    received: list[Delivery] = []
    while len(received) < count:
        came = come(queue)
        assert came, f"waited for {count} messages, {len(received)} came"
        received += came
    return received


def take_all(queue: Transport, count: int, lease: timedelta = LEASE) -> list[Delivery]:
    """Receive until `count` messages are in hand, or nothing comes."""
    taken: list[Delivery] = []
    while len(taken) < count and (received := take(queue, lease=lease)):
        taken += received
    return taken


def send_bodies(queue: Transport, *bodies: str) -> None:
    """Send one message per body; all must be accepted."""
    assert queue.send([Message(body) for body in bodies]) == {}


def bodies(deliveries: list[Delivery]) -> list[str]:
    """Their bodies, sorted: a queue promises no order."""
    return sorted(delivery.body for delivery in deliveries)


@contextmanager
def waiting_receive(queue: Transport, wait: timedelta) -> Iterator[Future[list[Delivery]]]:
    """A receive under way in another thread."""
    with ThreadPoolExecutor(1) as threads:
        yield threads.submit(queue.receive, 10, wait, LEASE)
