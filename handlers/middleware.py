"""The contract for middleware: what wraps each part on its worker thread, outside the part's transaction."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from config.job import Job
from config.stamps import NO_STAMPS, Stamps
from shards.directory import Placement
from shards.inbox import Outcome


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PartEnvelope:
    """One part with what is known of the message that it came with, as middleware gets it.

    `queue` names the request queue, `receive_count` says how often it has handed out the message,
    `traceparent` is the message's W3C trace context. `dataclasses.replace` makes another one, for the links
    behind: what is run is the part itself all the same.
    """

    job: Job = field(repr=False)
    job_type: str
    run: int = 1
    customer_id: str
    placement: Placement | None = None
    queue: str = ""
    receive_count: int = 1
    stamps: Stamps = field(default=NO_STAMPS, repr=False)
    """What Symfony put on the message; empty where its sender was another."""
    traceparent: str | None = None

    @property
    def retry_count(self) -> int:
        """How often Symfony has retried the message; none of it is an attempt of ours."""
        return self.stamps.retry_count


Next = Callable[[PartEnvelope], Outcome]
"""Goes on with the part: the links behind, the transaction at last. Returns the outcome that is stored."""


class Middleware(Protocol):
    """One link: it may act before and after, and calls `next` to go on.

    One object serves all worker threads. An exception that it raises before the part has an outcome ends the
    part as one of the handler's would: `Reject` and `Retry` included. What the transaction came to stands,
    whatever a link returns or raises afterwards.
    """

    def __call__(self, envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
        """Wrap the rest of the way of one part; what it returns is not looked at."""
        ...
