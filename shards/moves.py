"""Moves: a customer taken from one place to another while its jobs go on; active in one place or in none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final, NamedTuple

from sqlalchemy import Connection

from shards.customer_places import CustomerPlace, PlaceFailed
from shards.directory import Placement, PlacementState
from shards.failures import Kind
from shards.inbox_copy import CaughtUp, InboxCopy
from shards.move_stages import (
    ACTIVE,
    GONE,
    MOVING,
    MoveRefused,
    PartsUnderWay,
    Progress,
    Stage,
    Step,
    StillPaused,
    progress_of,
)
from shards.placement_rows import PlacementRow, change_row, insert_row, lock_row, read_row

WAITED_KINDS: Final = frozenset({Kind.BUSY, Kind.RETRY_TRANSACTION})


class Moved(NamedTuple):
    """A finished move: where the customer lives now and how many inbox rows went along, how many paused.

    Where a command before had done the copying, they are zero; where it had begun the pause, nobody knows
    how long that was.
    """

    placement: Placement
    rows: int
    last_rows: int
    paused_seconds: float | None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a move needs from outside.

    `now` gives seconds since 1970, `monotonic` seconds for measuring, `epoch_step` a number from 1 on that
    is hardly drawn twice; `wait` is how long parts under way are waited for; `note` hears of each step.
    """

    now: Callable[[], float]
    monotonic: Callable[[], float]
    epoch_step: Callable[[], int]
    wait: timedelta
    note: Callable[[Step], None]


class Move:
    """One customer's way from the place that the directory names to another.

    Each method can be run again after it was broken off, wherever that was, and goes on from there. Every
    change of either placement row is made while the target's row is locked, so that two commands at once
    cannot undo each other's work. All raise `MoveRefused`, `PlaceFailed` and `CopyDiffers`.

    Args:
        placement: Where the customer lives, as the directory has it.
        source: That place.
        target: Where it is to live.
        surroundings: Clocks, patience and who hears of the steps.
    """

    def __init__(
        self, placement: Placement, source: CustomerPlace, target: CustomerPlace, surroundings: Surroundings
    ) -> None:
        self._customer_id = placement.customer_id
        self._here = PlacementRow(placement.customer_id, placement.epoch, ACTIVE)
        self._state = placement.state
        self._source = source
        self._target = target
        self._around = surroundings
        self._copy = InboxCopy(source, target, surroundings.now)

    def begin(self) -> CaughtUp:
        """Take a place at the target and copy the inbox there; the customer's parts go on at the source."""
        progress = self._progress()
        if progress.stage is Stage.NOT_BEGUN:
            epoch = self._take_place()
        elif progress.stage is Stage.BEGUN:
            epoch = progress.epoch
        else:
            raise MoveRefused(f"The move is {progress.stage} already: go on with --finish.")
        caught = self._copy.catch_up(partial(self._held, epoch))
        self._around.note(Step.COPIED)
        return caught

    def finish(self, sync: Callable[[], None], enter: Callable[[Placement], None]) -> Moved:
        """Pause the customer's parts, bring over what is missing, and let them go on at the target.

        `sync` brings over the last of the customer's own data; if it raises, the customer goes on at the
        source. `enter` writes the new placement into the directory, and may be called again.

        Raises:
            PartsUnderWay: parts at the source did not end in time.
            StillPaused: what failed left the customer paused.
        """
        progress = self._progress()
        if progress.stage is Stage.NOT_BEGUN:
            raise MoveRefused("This move has not begun: run it with --begin first.")
        rows = last_rows = 0
        paused_at = None
        if progress.stage in {Stage.BEGUN, Stage.PAUSED}:
            epoch, caught, paused_at = self._pause_and_catch_up(progress)
            last_rows = self._go_over(epoch, caught, sync)
            rows = caught.rows
            progress = Progress(Stage.ARRIVED, epoch)
        self._leave(progress.epoch)
        placement = self._new_placement(progress.epoch)
        enter(placement)
        self._around.note(Step.ENTERED)
        paused_seconds = None if paused_at is None else self._around.monotonic() - paused_at
        return Moved(placement, rows, last_rows, paused_seconds)

    def abort(self) -> None:
        """Stay at the source: its parts go on there, and what was copied to the target is removed."""
        with self._target.transaction() as connection:
            found = lock_row(connection, self._customer_id)
            if found is not None and found.state is GONE and found.epoch > self._here.epoch:
                epoch = found.epoch  # aborted before, perhaps without its end
            else:
                epoch = self._give_up(connection, found)
        self._copy.remove(partial(self._held, epoch, GONE))
        self._around.note(Step.ABORTED)

    def _progress(self) -> Progress:
        source, target = self._source.row(), self._target.row()
        progress = progress_of(source, target)
        if source is not None and source.state is ACTIVE and source.epoch != self._here.epoch:
            raise MoveRefused(
                f"The directory has epoch {self._here.epoch} for the customer, its placement row at "
                f"{self._source.name} {source.epoch}. They must be the same before it can be moved."
            )
        return progress

    def _take_place(self) -> int:
        with self._target.transaction() as connection:
            found = lock_row(connection, self._customer_id)
            if found is None and self._copy.any_at_target(connection):
                raise MoveRefused(
                    f"The inbox at {self._target.name} has rows of the customer already, and no placement "
                    "row says why. Find out where they come from; remove them if they are of no use."
                )
            highest = max(self._here.epoch, found.epoch if found else 0)
            row = PlacementRow(self._customer_id, highest + self._around.epoch_step(), MOVING)
            if found is None:
                insert_row(connection, row)
            else:
                change_row(connection, found, row)
        return row.epoch

    def _give_up(self, connection: Connection, found: PlacementRow | None) -> int:
        progress = progress_of(self._source.row(), found)
        if found is None or progress.stage is Stage.NOT_BEGUN:
            raise MoveRefused("There is no such move to abort: the customer lives where it lived.")
        if progress.stage not in {Stage.BEGUN, Stage.PAUSED}:
            raise MoveRefused(
                f"The customer lives at {self._target.name} by now, and has been written to there. "
                "Run --finish to its end, then move it back."
            )
        # its number stays: no command that still works on this move can take a later one for it
        change_row(connection, found, found._replace(state=GONE))
        self._change_source(self._paused_row(found.epoch), self._here)
        return found.epoch

    def _pause_and_catch_up(self, progress: Progress) -> tuple[int, CaughtUp, float | None]:
        epoch = progress.epoch
        if progress.stage is Stage.PAUSED:
            self._drain(epoch)
            return epoch, self._copy.catch_up(partial(self._held, epoch)), None
        # a part from before this pause cannot end after the pass, and so escape it
        self._pause(epoch)
        epoch = self._resume(epoch)
        caught = self._copy.catch_up(partial(self._held, epoch))
        self._around.note(Step.COPIED)
        paused_at = self._around.monotonic()
        self._pause(epoch)
        return epoch, caught, paused_at

    def _pause(self, epoch: int) -> None:
        """From now on each claim at the source is refused; returns when no part is under way there."""
        with self._resuming_after(epoch, PlaceFailed, KeyboardInterrupt), self._held(epoch):
            self._wait_out(partial(self._change_source, self._here, self._paused_row(epoch)))
        with self._resuming_after(epoch, Exception, KeyboardInterrupt):
            self._around.note(Step.PAUSED)
            self._drain(epoch)

    def _drain(self, epoch: int) -> None:
        self._wait_out(self._wait_for_parts)
        self._check_source(epoch)
        self._around.note(Step.DRAINED)

    def _wait_for_parts(self) -> None:
        with self._source.transaction() as connection:
            lock_row(connection, self._customer_id)

    def _go_over(self, epoch: int, caught: CaughtUp, sync: Callable[[], None]) -> int:
        with self._resuming_after(epoch, Exception, KeyboardInterrupt):
            sync()
            self._around.note(Step.SYNCED)
            with self._held(epoch) as connection:
                self._check_source(epoch)
                rows = self._copy.follow(connection, caught)
                self._around.note(Step.CAUGHT_UP)
                moving = PlacementRow(self._customer_id, epoch, MOVING)
                change_row(connection, moving, moving._replace(state=ACTIVE))
        self._around.note(Step.ARRIVED)
        return rows

    @contextmanager
    def _resuming_after(self, epoch: int, *errors: type[BaseException]) -> Iterator[None]:
        """Let the customer go on at the source if one of the errors comes, unless it has arrived."""
        try:
            yield
        except MoveRefused:
            raise  # another command has this move, and says how it goes on
        except errors as error:
            try:
                self._resume(epoch)
            except (MoveRefused, PlaceFailed) as second:
                raise StillPaused(self._customer_id, error, second) from error
            raise

    def _resume(self, epoch: int) -> int:
        """Let parts go on at the source; the move's new number, under which alone it can go on."""
        with self._held(epoch) as connection:
            moving = PlacementRow(self._customer_id, epoch, MOVING)
            renumbered = moving._replace(epoch=epoch + self._around.epoch_step())
            change_row(connection, moving, renumbered)
            self._change_source(self._paused_row(epoch), self._here)
        self._around.note(Step.RESUMED)
        return renumbered.epoch

    def _leave(self, epoch: int) -> None:
        self._change_source(self._paused_row(epoch), self._paused_row(epoch)._replace(state=GONE))
        self._around.note(Step.LEFT)

    def _new_placement(self, epoch: int) -> Placement:
        shard, schema = self._target.shard.name, self._target.schema
        return Placement(self._customer_id, shard, schema, self._state, epoch)

    def _paused_row(self, epoch: int) -> PlacementRow:
        return PlacementRow(self._customer_id, epoch, MOVING)

    def _change_source(self, found: PlacementRow, wanted: PlacementRow) -> None:
        """Change the source's row; nothing to do where it is as wanted, or was not as expected."""
        with self._source.transaction() as connection:
            change_row(connection, found, wanted)

    def _check_source(self, epoch: int) -> None:
        with self._source.transaction(reading=True) as connection:
            found = read_row(connection, self._customer_id)
        if found != self._paused_row(epoch):
            raise MoveRefused("Another command has let the customer go on meanwhile: run --finish anew.")

    @contextmanager
    def _held(self, epoch: int, state: PlacementState = MOVING) -> Iterator[Connection]:
        """A transaction at the target, in which nobody else can change anything of this move."""
        with self._target.transaction() as connection:
            if lock_row(connection, self._customer_id) != PlacementRow(self._customer_id, epoch, state):
                raise MoveRefused("Another command is working on this move, or has ended it.")
            yield connection

    def _wait_out(self, attempt: Callable[[], None]) -> None:
        seconds = self._around.wait.total_seconds()
        deadline = self._around.monotonic() + seconds
        while True:
            try:
                return attempt()
            except PlaceFailed as error:
                if error.failure.kind not in WAITED_KINDS:
                    raise
                if self._around.monotonic() >= deadline:
                    raise PartsUnderWay(self._customer_id, seconds) from error
