"""Stages: what the two placement rows of a customer say of its move; the steps and errors of a move."""

from enum import StrEnum
from typing import NamedTuple

from shards.directory import PlacementState
from shards.placement_rows import PlacementRow

ACTIVE, MOVING, GONE = PlacementState.ACTIVE, PlacementState.MOVING, PlacementState.GONE


class Stage(StrEnum):
    """How far a move has come. Parts run at the source in the first two, at the target in the last two."""

    NOT_BEGUN = "not begun"
    BEGUN = "begun"
    PAUSED = "paused"
    ARRIVED = "arrived"
    LEFT = "left"


class Step(StrEnum):
    """What a move has just done."""

    COPIED = "copied"
    PAUSED = "paused"
    DRAINED = "drained"
    RESUMED = "resumed"
    SYNCED = "synced"
    CAUGHT_UP = "caught up"
    ARRIVED = "arrived"
    LEFT = "left"
    ENTERED = "entered"
    ABORTED = "aborted"


class MoveRefused(Exception):
    """What was asked for cannot be done to this customer as things stand. Nothing was changed."""


class PartsUnderWay(Exception):
    """Parts of the customer went on for longer than was to be waited for. New ones may start as before."""

    def __init__(self, customer_id: str, seconds: float) -> None:
        super().__init__(
            f"Parts of {customer_id!r} were still under way after {seconds:g} s, and a move waits for them. "
            "Try again, with a longer --wait or when no long job of the customer runs."
        )


class StillPaused(Exception):
    """A move failed half-way, and the customer's writers could not be let go on: somebody must look."""

    def __init__(self, customer_id: str, first: BaseException, second: Exception) -> None:
        super().__init__(
            f"{str(first) or type(first).__name__}\n"
            f"Letting the customer {customer_id!r} go on failed as well: {second}\n"
            "It may be paused, and its jobs wait. Run the same command with --finish again, or with --abort "
            "to stay where it was."
        )


class Progress(NamedTuple):
    """The stage of a move, and its number: the epoch that the customer has at the target."""

    stage: Stage
    epoch: int


def progress_of(source: PlacementRow | None, target: PlacementRow | None) -> Progress:
    """How far the move has come.

    A customer that is paused is so for one move, whose number stands in both rows: two moves of one
    customer cannot be taken for each other.

    Raises:
        MoveRefused: the customer was never placed at the source, or its rows are those of another move.
    """
    if source is None:
        raise MoveRefused(
            "The customer has no placement row where it lives. Run `shardworker shards place` for it first."
        )
    if source.state is ACTIVE:
        return _before_pause(source, target)
    stages = {
        (MOVING, MOVING): Stage.PAUSED,
        (MOVING, ACTIVE): Stage.ARRIVED,
        (GONE, ACTIVE): Stage.LEFT,
    }
    stage = None if target is None else stages.get((source.state, target.state))
    if stage is None or target is None or target.epoch != source.epoch:
        raise MoveRefused(
            f"Where the customer lives, its placement row is {source.state} with number {source.epoch}, and "
            "that is not this move. Was it begun to another shard or schema? Name that one."
        )
    return Progress(stage, target.epoch)


def _before_pause(source: PlacementRow, target: PlacementRow | None) -> Progress:
    if target is not None and target.state is ACTIVE:
        raise MoveRefused(
            "The customer has an active placement row in both places. If they are one and the same "
            "database, there is nothing to move; else find out where it lives and set the other row to gone."
        )
    if target is not None and target.state is MOVING and target.epoch > source.epoch:
        return Progress(Stage.BEGUN, target.epoch)
    return Progress(Stage.NOT_BEGUN, source.epoch)
