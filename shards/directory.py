"""The directory: where each customer lives."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from config import settings


class PlacementState(StrEnum):
    """Whether a customer's parts may run where the directory says that it lives."""

    ACTIVE = "active"
    PAUSED = "paused"
    MOVING = "moving"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one customer lives. `epoch` grows with each move, so that an old placement can be told."""

    customer_id: str
    shard: str
    schema: str | None
    state: PlacementState
    epoch: int


class DirectoryUnavailable(Exception):
    """The directory cannot be asked now. Nothing is known about any customer; ask again later."""


class Directory(Protocol):
    """The map from customer to placement. Safe to use from several threads at once."""

    def find(self, customer_ids: Sequence[str]) -> dict[str, Placement]:
        """The placement of each customer; one that is missing is unknown.

        Raises:
            DirectoryUnavailable: the directory cannot be asked now.
        """
        ...

    def forget(self, customer_ids: Sequence[str]) -> None:
        """What is remembered of these customers was wrong: ask anew at the next `find`."""
        ...


class StaticDirectory:
    """The directory of the configuration file. It is always available and changes with a restart."""

    def __init__(self, section: settings.Directory) -> None:
        self._placements = {
            customer_id: _to_placement(customer_id, entry) for customer_id, entry in section.customers.items()
        }

    def find(self, customer_ids: Sequence[str]) -> dict[str, Placement]:
        """The placement of each customer that the file names."""
        return {
            customer_id: self._placements[customer_id]
            for customer_id in customer_ids
            if customer_id in self._placements
        }

    def forget(self, customer_ids: Sequence[str]) -> None:
        """Nothing to do: the file is read once."""


def _to_placement(customer_id: str, entry: settings.CustomerPlacement) -> Placement:
    return Placement(
        customer_id=customer_id,
        shard=entry.shard,
        schema=entry.schema_name,
        state=PlacementState(entry.state),
        epoch=entry.epoch,
    )
