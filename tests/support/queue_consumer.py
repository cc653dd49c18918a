"""A process that works on a queue, for tests that kill processes.

`python -m tests.support.queue_consumer URL LEASE_SECONDS hold|handle`: either takes ten messages and
holds them, or handles and acks for ever. It prints each body that it holds or has handled, a line each.
"""

import sys
from datetime import timedelta
from itertools import count
from threading import Event

from config.settings import Queues
from worker.transports.base import Delivery, Transport, TransportError
from worker.transports.factory import open_transport

WAIT = timedelta(seconds=5)
HELD = 10


def hold(queue: Transport, lease: timedelta) -> None:
    """Take ten messages and keep them, without ever extending the lease."""
    held: list[Delivery] = []
    while len(held) < HELD:
        held += queue.receive(HELD - len(held), WAIT, lease)
    tell([delivery.body for delivery in held])
    Event().wait()


def handle(queue: Transport, lease: timedelta) -> None:
    """Handle and ack until killed; a call that fails is repeated."""
    for _ in count():
        try:
            received = queue.receive(10, WAIT, lease)
            tell([delivery.body for delivery in received])
            queue.ack(received)
        except TransportError as error:
            sys.stderr.write(f"{error}\n")


def tell(bodies: list[str]) -> None:
    """Print the bodies as one write: a kill leaves whole lines or none."""
    sys.stdout.write("".join(f"{body}\n" for body in bodies))
    sys.stdout.flush()


def main() -> None:
    """Work on the queue as the arguments say."""
    url, lease_seconds, mode = sys.argv[1:]
    settings = Queues(request=[url], response=url, failure=url, region="eu-west-1")
    lease = timedelta(seconds=float(lease_seconds))
    {"hold": hold, "handle": handle}[mode](open_transport(url, settings, lease), lease)


if __name__ == "__main__":
    main()
