"""`shardworker shards move`: a customer taken to another shard or schema while its jobs go on."""

import os
import secrets
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import Annotated, Final, NamedTuple

import typer

from config.settings import Settings
from shards.catalog import EpochBehind
from shards.customer_places import CustomerPlace, PlaceFailed
from shards.directory import DirectoryUnavailable, Placement, PlacementState
from shards.inbox_copy import CopyDiffers
from shards.move_stages import MoveRefused, PartsUnderWay, Step, StillPaused
from shards.moves import Move, Surroundings
from worker.cli.common import ConfigOption, open_settings, to_duration
from worker.cli.customers import (
    enter_in_catalog,
    file_line,
    find_known_customer,
    new_placement,
    open_place,
    prepare_place,
)
from worker.cli.errors import CommandError
from worker.cli.output import print_line

EPOCH_STEP_MAXIMUM: Final = 1000
"""Two moves of one customer that were begun at once must not draw the same number."""

STEP_LINES: Final = {
    Step.PAUSED: "Paused: no part of the customer starts.",
    Step.DRAINED: "The parts that were under way have ended.",
    Step.RESUMED: "Parts go on where the customer lived.",
    Step.COPIED: "The inbox rows are copied.",
    Step.SYNCED: "The customer's own data are there.",
    Step.ARRIVED: "The customer lives in the new place.",
}


class Action(StrEnum):
    """What `move` is to do."""

    BEGIN = "--begin"
    FINISH = "--finish"
    ABORT = "--abort"


class SyncFailed(CommandError):
    """The operator's command for the customer's own data did not end well."""


def move_customer(  # noqa: PLR0913 - each is an option of the command
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="The customer's id.")],
    shard: Annotated[str, typer.Argument(metavar="SHARD", help="The shard that it moves to.")],
    *,
    schema: Annotated[
        str | None, typer.Option("--schema", help="The schema there; without it the connection's own.")
    ] = None,
    begin: Annotated[bool, typer.Option("--begin", help="Take the place, copy the inbox rows.")] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="Pause, bring over the last, go on there.")
    ] = False,
    abort: Annotated[bool, typer.Option("--abort", help="Stay where the customer lives.")] = False,
    sync: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND", help="With --finish: brings over the last of the customer's own data."
        ),
    ] = None,
    wait: Annotated[
        str, typer.Option(metavar="DURATION", help="With --finish: how long to wait for parts under way.")
    ] = "10s",
    config: ConfigOption = None,
) -> None:
    """Move a customer to another shard or schema while its jobs go on.

    Three steps. `--begin` takes a place at the target, with the worker's own tables if they are missing, and
    copies the customer's inbox rows. Then bring the customer's own tables over, with the tools of your
    database: the worker does not know them. `--finish`
    pauses the customer's parts, runs the command of --sync, copies the inbox rows that changed, and lets the
    parts go on at the target; the pause is as long as --sync takes, and some tenths of a second.

    The command of --sync finds SHARDWORKER_MOVE_CUSTOMER, _SOURCE_SHARD, _SOURCE_SCHEMA, _TARGET_SHARD and
    _TARGET_SCHEMA in its environment. If it fails, the customer goes on where it was.

    Each step can be run again, wherever it was broken off: the customer is active in one place or, while it
    is paused, in none. `--abort` is possible until the customer has arrived. All workers must check placement
    rows ([directory] placement_rows). docs/shards.md has the whole way.
    """
    action = _one_action(begin=begin, finish=finish, abort=abort)
    if sync is not None and action is not Action.FINISH:
        raise typer.BadParameter("--sync belongs to --finish.")
    settings = open_settings(config).settings
    target = new_placement(settings, customer, shard, schema)
    errand = _Errand(settings, find_known_customer(settings, customer), target)
    if _lives_at_target(errand):
        _tell_arrived(errand, action)
        return
    with _told_errors(), _opened(errand, to_duration(wait)) as opened:
        if action is Action.BEGIN:
            _begin(opened)
        elif action is Action.FINISH:
            _finish(errand, opened, sync)
        else:
            opened.move.abort()
            print_line(f"Given up: {customer!r} lives at {opened.source.name}, as before.")


class _Errand(NamedTuple):
    """Who is to be moved where."""

    settings: Settings
    placement: Placement
    target: Placement


class _Opened(NamedTuple):
    """The move and its two places, with their connections."""

    move: Move
    source: CustomerPlace
    target: CustomerPlace


def _one_action(*, begin: bool, finish: bool, abort: bool) -> Action:
    wanted = {Action.BEGIN: begin, Action.FINISH: finish, Action.ABORT: abort}
    chosen = [action for action, asked in wanted.items() if asked]
    if len(chosen) != 1:
        raise typer.BadParameter("Give one of --begin, --finish and --abort.")
    return chosen[0]


@contextmanager
def _told_errors() -> Iterator[None]:
    try:
        yield
    except PartsUnderWay as error:
        raise CommandError(f"{error} It goes on where it was.") from error
    except (MoveRefused, PlaceFailed, CopyDiffers, StillPaused) as error:
        raise CommandError(str(error)) from error


@contextmanager
def _opened(errand: _Errand, wait: timedelta) -> Iterator[_Opened]:
    settings, placement = errand.settings, errand.placement
    if not settings.directory.placement_rows:
        raise CommandError(
            "Workers do not check placement rows: [directory] placement_rows is off. Run `shardworker shards "
            "place --all`, switch it on and restart the workers; or move by hand, as docs/shards.md says."
        )
    if placement.state is PlacementState.GONE:
        raise CommandError(f"The directory says that {placement.customer_id!r} is gone: nothing to move.")
    surroundings = Surroundings(time.time, time.monotonic, _epoch_step, wait, _print_step)
    source, target = open_place(settings, placement), open_place(settings, errand.target)
    with ExitStack() as closing:
        closing.callback(source.shard.close)
        closing.callback(target.shard.close)
        yield _Opened(Move(placement, source, target, surroundings), source, target)


def _begin(opened: _Opened) -> None:
    source, target = opened.source, opened.target
    prepare_place(target)
    caught = opened.move.begin()
    print_line(
        f"{caught.rows} inbox rows of {source.customer_id!r} are at {target.name}, {caught.copied} new."
    )
    print_line(f"Its jobs go on at {source.name}. Next:")
    print_line("1. Bring its own tables over, with the tools of your database (docs/shards.md).")
    schema = "" if target.schema is None else f" --schema {target.schema}"
    same = f"shardworker shards move {source.customer_id} {target.shard.name}{schema}"
    print_line(f"2. {same} --finish --sync COMMAND, where COMMAND brings over what changed since.")
    print_line(f"Or stay: {same} --abort")


def _finish(errand: _Errand, opened: _Opened, sync: str | None) -> None:
    sync_seconds = 0.0

    def timed_sync() -> None:
        nonlocal sync_seconds
        begun_at = time.monotonic()
        _sync(sync, opened)
        sync_seconds = time.monotonic() - begun_at

    moved = opened.move.finish(timed_sync, partial(_enter, errand.settings))
    print_line(f"{moved.rows} inbox rows went along, {moved.last_rows} of them in the pause.")
    if moved.paused_seconds is None:
        print_line("An earlier command had begun the pause: how long it was is not known.")
    else:
        print_line(f"Its writers were paused for {moved.paused_seconds:.3f} s{_until(errand.settings)}.")
        if sync is not None:
            print_line(f"The command of --sync took {sync_seconds:.3f} s of that.")
    if moved.placement.state is not PlacementState.ACTIVE:
        print_line(f"The directory has it {moved.placement.state}: its jobs wait until that is changed.")


def _until(settings: Settings) -> str:
    return "" if settings.directory.catalog is not None else ", and are until their worker knows the place"


def _enter(settings: Settings, placement: Placement) -> None:
    """Tell the directory where the customer lives now."""
    if settings.directory.catalog is not None:
        try:
            enter_in_catalog(settings, placement)
        except (DirectoryUnavailable, EpochBehind) as error:
            raise CommandError(
                f"{error}\nThe customer lives at its new place, with epoch {placement.epoch}, and its jobs "
                "wait until the catalog says so. Run --finish again."
            ) from error
        return
    where = "what the function says of it" if settings.directory.function else "its line in the file"
    print_line(f"Now change {where}, on every machine, and restart the workers that read the file:")
    print_line(file_line(placement))
    print_line("Its jobs wait for that: the old place takes none of them.")


def _sync(command: str | None, opened: _Opened) -> None:
    """Run the operator's command; raises `SyncFailed`."""
    if command is None:
        return
    source, target = opened.source, opened.target
    told = {
        "CUSTOMER": source.customer_id,
        "SOURCE_SHARD": source.shard.name,
        "SOURCE_SCHEMA": source.schema or "",
        "TARGET_SHARD": target.shard.name,
        "TARGET_SCHEMA": target.schema or "",
    }
    variables = {f"SHARDWORKER_MOVE_{name}": value for name, value in told.items()}
    try:
        done = subprocess.run(  # noqa: S603 - it is the operator's own command line, and no shell reads it
            shlex.split(command), env={**os.environ, **variables}, check=False
        )
    except (OSError, ValueError) as error:
        raise SyncFailed(f"The command of --sync cannot be run ({error}). The customer stays.") from error
    if done.returncode != 0:
        raise SyncFailed(
            f"The command of --sync ended with status {done.returncode}. The customer goes on where it was."
        )


def _lives_at_target(errand: _Errand) -> bool:
    placement, target = errand.placement, errand.target
    return (placement.shard, placement.schema) == (target.shard, target.schema)


def _tell_arrived(errand: _Errand, action: Action) -> None:
    """The directory names the target already: that the move is done, or what does not fit."""
    placement = errand.placement
    place = open_place(errand.settings, errand.target)
    with _told_errors():
        row = place.row()
    place.shard.close()
    if row is None or (row.state, row.epoch) != (PlacementState.ACTIVE, placement.epoch):
        found = "missing" if row is None else f"{row.state} with number {row.epoch}"
        raise CommandError(
            f"The directory has {placement.customer_id!r} at {place.name} with epoch {placement.epoch}, but "
            f"its placement row there is {found}. Was the directory changed before --finish? Change it back."
        )
    if action is not Action.FINISH:
        raise CommandError(f"{placement.customer_id!r} lives at {place.name} already.")
    print_line(f"Done: {placement.customer_id!r} lives at {place.name} with epoch {placement.epoch}.")


def _print_step(step: Step) -> None:
    if step in STEP_LINES:
        print_line(STEP_LINES[step])


def _epoch_step() -> int:
    return secrets.randbelow(EPOCH_STEP_MAXIMUM) + 1
