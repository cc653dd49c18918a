"""The entries of SQS's batch requests, and those of a send among them that are left out from the start."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from worker.transports.base import Fault, Faults, Message
from worker.transports.limits import message_size


class Entry(NamedTuple):
    """One entry of a batch request: its position in the caller's batch, its parameters, its bytes."""

    position: int
    parameters: Mapping[str, Any]
    size: int = 0


def send_entries(
    batch: Sequence[Message],
    fault_of: Callable[[Message], Fault | None],
    parameters_of: Callable[[Message], Mapping[str, Any]],
) -> tuple[Faults, list[Entry]]:
    """The faults of the messages that the queue would never take, and the entries of the others."""
    faults: Faults = {}
    entries: list[Entry] = []
    for position, message in enumerate(batch):
        fault = fault_of(message)
        if fault is None:
            entries.append(Entry(position, parameters_of(message), message_size(message)))
        else:
            faults[position] = fault
    return faults, entries
