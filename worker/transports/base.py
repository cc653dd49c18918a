"""The protocol that every transport keeps: receive, ack, release, extend and send, in batches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol


class TransportError(Exception):
    """A whole call failed: the queue is away, missing or refuses us.

    Nothing of the batch was done, as far as is known; the caller tries again after a back-off.
    """


class QueueMissing(TransportError):
    """The queue does not exist. `shardworker setup` creates it."""


class Attribute(NamedTuple):
    """A message attribute as SQS knows it: `String`, `Number` or `Binary`, with an optional `.label`."""

    data_type: str
    value: str | bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """One receive of a message. `receipt` is what ack, release and extend need; it is never logged.

    `trace_header` is SQS's system attribute AWSTraceHeader.
    """

    message_id: str
    receipt: str = field(repr=False)
    body: str = field(repr=False)
    attributes: Mapping[str, Attribute] = field(repr=False)
    receive_count: int
    sent_at: datetime
    group: str | None = None
    trace_header: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The attributes whose type is exactly `String`, as Symfony reads them."""
        return {
            name: attribute.value
            for name, attribute in self.attributes.items()
            if attribute.data_type == "String" and isinstance(attribute.value, str)
        }


@dataclass(frozen=True, slots=True)
class Message:
    """A message to send. `group` becomes SQS's MessageGroupId (fair queueing on standard queues).

    `trace_header` becomes SQS's system attribute AWSTraceHeader; other queues have none. Only ordered queues
    read `deduplication_id`: of two messages with the same one within five minutes, the queue keeps the first.
    """

    body: str = field(repr=False)
    attributes: Mapping[str, Attribute] = field(default_factory=dict, repr=False)
    delay: timedelta = timedelta()
    group: str | None = None
    trace_header: str | None = None
    deduplication_id: str | None = None


class Fault(NamedTuple):
    """Why one entry of a batch failed.

    `lost`: the lease is gone (ack, release, extend): another worker may hold the message now.
    `final`: trying the same entry again cannot help (too large, forbidden characters).
    """

    code: str
    message: str
    lost: bool = False
    final: bool = False


Faults = dict[int, Fault]
"""The failed entries of a batch by their position in it; empty when all went well."""


class Depth(NamedTuple):
    """About how many messages wait, are leased by somebody, and are delayed."""

    waiting: int
    leased: int
    delayed: int


class Transport(Protocol):
    """One queue. Safe to use from several threads at once.

    Every call raises `TransportError` when it failed as a whole. `ack`, `release`, `extend` and `send`
    take batches of any size, split them as the queue asks, and report each entry that failed.
    """

    @property
    def name(self) -> str:
        """The queue's name for logs: never its credentials."""
        ...

    @property
    def is_ordered(self) -> bool:
        """Whether the queue keeps the order of each group: then nothing is sent with a delay, or anew."""
        ...

    @property
    def message_bytes_maximum(self) -> int:
        """The largest message, body and attributes together, that `send` takes as it is."""
        ...

    @property
    def wait_maximum(self) -> timedelta:
        """The longest `wait` that one `receive` honours."""
        ...

    @property
    def hold_maximum(self) -> timedelta:
        """The longest that one receive can be held, however often it is extended."""
        ...

    def receive(self, maximum: int, wait: timedelta, lease: timedelta) -> list[Delivery]:
        """Up to `maximum` messages (at most ten), leased for `lease`; waits up to `wait` for the first."""
        ...

    def ack(self, batch: Sequence[Delivery]) -> Faults:
        """Delete the messages. One that is gone already is no fault."""
        ...

    def release(self, batch: Sequence[tuple[Delivery, timedelta]]) -> Faults:
        """Give each message back, visible again after its delay (zero: at once)."""
        ...

    def extend(self, batch: Sequence[Delivery], lease: timedelta) -> Faults:
        """Hold the messages for `lease` from now; a fault with `lost` where the lease had run out."""
        ...

    def send(self, batch: Sequence[Message]) -> Faults:
        """Put the messages on the queue; an entry without a fault is accepted durably."""
        ...

    def browse(self, maximum: int) -> list[Delivery]:
        """Up to `maximum` waiting messages for a person to look at; they stay on the queue."""
        ...

    def depth(self) -> Depth:
        """How many messages there are."""
        ...

    def retention(self) -> timedelta | None:
        """How long the queue keeps a message that nobody acks; None: for ever."""
        ...

    def create(self) -> bool:
        """Create the queue if it is missing (14 days' retention, no redrive policy); whether it was."""
        ...

    def check(self) -> list[str]:
        """What is not as it should be, a sentence each; empty when all is well."""
        ...

    def interrupt(self) -> None:
        """Let receives end early, now and from now on, where the queue can; all else goes on as before.

        SQS cannot: a long poll that is broken off may take messages with it, out of sight for a lease.
        """
        ...

    def close(self) -> None:
        """Let go of connections; calls under way may fail with `TransportError`."""
        ...
