"""What SQS's FIFO queues want beside a standard queue: ids for each message, no delays, sends in order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from worker.symfony.fifo import default_deduplication_id
from worker.transports.base import Fault, Faults, Message, TransportError
from worker.transports.limits import message_fault
from worker.transports.sqs_errors import NOT_TRIED
from worker.transports.sqs_wire import send_parameters

NOT_IN_TURN: Final = Fault(
    "NotInTurn", "an earlier message of its group was not accepted; both have to be repeated, in this order"
)
DELAYED: Final = Fault(
    "DelayOnOrderedQueue",
    "a FIFO queue takes no message with a delay of its own; send it without one, or to a standard queue",
    final=True,
)

NEW_QUEUE: Final = {
    "FifoQueue": "true",
    "DeduplicationScope": "messageGroup",
    "FifoThroughputLimit": "perMessageGroupId",
}
"""A new queue is one of high throughput: all ids that the worker gives are unique beyond their group too."""

SendEach = Callable[[Sequence[int]], Faults]
"""Sends the messages at these positions, no two of which are of one group."""


def identified(message: Message) -> Message:
    """The message with a group and a deduplication id: its own, or what is taken in their place.

    Its content is its id then, as with Symfony's transport, so that a send whose answer was lost can be
    repeated. A group of its own keeps it from waiting for others.
    """
    deduplication_id = message.deduplication_id
    if deduplication_id is None:
        deduplication_id = default_deduplication_id(message.body, message.attributes)
    return replace(message, group=message.group or deduplication_id, deduplication_id=deduplication_id)


def ordered_fault(message: Message) -> Fault | None:
    """Why no FIFO queue would ever take this message, or None; raises as `message_fault`."""
    return message_fault(message) or (DELAYED if message.delay else None)


def ordered_parameters(message: Message) -> dict[str, Any]:
    """An identified message as the parameters of its entry in a send."""
    parameters = send_parameters(message)
    del parameters["DelaySeconds"]  # a FIFO queue takes none, not even zero
    return {**parameters, "MessageDeduplicationId": message.deduplication_id}


def send_in_order(groups: Mapping[int, str], send_each: SendEach) -> Faults:
    """Send messages, given as the groups of their positions; none goes before an earlier one of its group.

    An entry of a batch can fail by itself, and those behind it are on the queue by then. So no request has
    two of a group, and what stands behind a message that has to be repeated is not sent. Raises
    `TransportError` where nothing was sent at all.
    """
    faults: Faults = {}
    left = dict(groups)
    while left:
        first = {group: position for position, group in reversed(left.items())}
        turn = sorted(first.values())
        try:
            done = send_each(turn)
        except TransportError:
            if len(left) == len(groups):
                raise
            return faults | dict.fromkeys(left, NOT_TRIED)
        faults |= done
        stuck = {groups[position] for position, fault in done.items() if not fault.final}
        left = {position: group for position, group in left.items() if position not in turn}
        faults |= {position: NOT_IN_TURN for position, group in left.items() if group in stuck}
        left = {position: group for position, group in left.items() if group not in stuck}
    return faults


def ordered_queue_faults(attributes: Mapping[str, str]) -> list[str]:
    """What a FIFO queue's attributes are not set up for beyond a standard queue's, a sentence each."""
    faults = []
    if attributes.get("RedrivePolicy"):
        faults.append("its redrive policy also breaks the order: what follows a message overtakes it")
    limits = (attributes.get("DeduplicationScope"), attributes.get("FifoThroughputLimit"))
    if limits != ("messageGroup", "perMessageGroupId"):
        faults.append(
            "it takes 300 requests a second in all: set DeduplicationScope to messageGroup and "
            "FifoThroughputLimit to perMessageGroupId for more"
        )
    return faults
