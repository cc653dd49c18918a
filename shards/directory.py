"""The directory: where each customer lives."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pydantic import ValidationError

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


@dataclass(frozen=True, slots=True)
class BadPlacement:
    """What the directory's source says of a customer cannot be used; `reason` is a sentence for operators."""

    customer_id: str
    reason: str


class DirectoryUnavailable(Exception):
    """The directory cannot be asked now. Nothing is known about any customer; ask again later."""


class PlacementUnusable(DirectoryUnavailable):
    """What the directory says of one customer cannot be used: nothing is known of it until that is mended."""


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
    """The directory of the configuration file. It is always available."""

    def __init__(self, section: settings.Directory) -> None:
        self.apply(section)

    def apply(self, section: settings.Directory) -> None:
        """Go by this section of the file from now on."""
        self._placements = {
            customer_id: _to_placement(customer_id, entry) for customer_id, entry in section.customers.items()
        }

    def find(self, customer_ids: Sequence[str]) -> dict[str, Placement]:
        """The placement of each customer that the file names."""
        placements = self._placements
        return {
            customer_id: placements[customer_id] for customer_id in customer_ids if customer_id in placements
        }

    def forget(self, customer_ids: Sequence[str]) -> None:
        """Nothing to do: nothing is remembered but what the file says."""


def checked_placement(
    customer_id: str, told: object, shard_names: Collection[str]
) -> Placement | BadPlacement:
    """What a source told of a customer, held to the rules of the file: a known shard, a plain schema name.

    Args:
        customer_id: The customer that was asked for.
        told: A `Placement` of this customer, a mapping as in `[directory.customers]`, or a shard's name.
        shard_names: The configured shards.
    """
    if isinstance(told, Placement):
        if told.customer_id != customer_id:
            return BadPlacement(customer_id, "The placement is another customer's.")
        told = {"shard": told.shard, "schema": told.schema, "state": str(told.state), "epoch": told.epoch}
    try:
        entry = settings.CustomerPlacement.model_validate(told)
    except ValidationError as error:
        return BadPlacement(customer_id, _reason(error))
    if entry.shard not in shard_names:
        return BadPlacement(customer_id, f"The shard {entry.shard!r} is not configured.")
    return _to_placement(customer_id, entry)


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(step) for step in first["loc"])
    if first["type"] == "string_pattern_mismatch":
        return f"{where}: letters, digits, _, $ and - only, at most 63, the first a letter or _."
    return f"{where}: {first['msg']}." if where else f"{first['msg']}."


def _to_placement(customer_id: str, entry: settings.CustomerPlacement) -> Placement:
    return Placement(
        customer_id=customer_id,
        shard=entry.shard,
        schema=entry.schema_name,
        state=PlacementState(entry.state),
        epoch=entry.epoch,
    )
