"""Giving back: what a process that leaves could not finish, for others to take at once."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

import structlog

from worker.held import Held
from worker.transports.base import Delivery, Transport, TransportError

THREAD_PREFIX: Final = "give-back-"

log = structlog.get_logger()


def give_back(abandoned: Sequence[Held], start: Callable[[str, Callable[[], None]], None]) -> None:
    """Begin to give back deliveries, each queue's on a thread of its own that `start` starts by its name.

    A queue that does not answer so holds up neither the others nor the caller. What it does not take comes
    again when its lease ends.
    """
    for source in {held.source for held in abandoned}:
        # from the end: nobody gets a group of which its head is back and a follower is not
        deliveries = [held.delivery for held in reversed(abandoned) if held.source is source]
        start(f"{THREAD_PREFIX}{source.name}", partial(_release, source, deliveries))


def _release(source: Transport, deliveries: Sequence[Delivery]) -> None:
    try:
        source.release([(delivery, timedelta()) for delivery in deliveries])
    except TransportError as error:
        log.warning("settle.failed", queue=source.name, count=len(deliveries), error=str(error))
