"""The worker's command line in a process of its own, bent or killed where a test says so.

It is forked from a process that has the modules loaded already, which a start else spends most time on.
"""

import os
import resource
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

import worker.cli
import worker.daemon
from config.points import Point, Watcher, watchers
from tests.support.bends import BENDS
from tests.support.forked import forking, preload

PATIENCE_SECONDS = 60.0
WAL_BYTES_LEFT = 6000
"""Enough for the header and the first page of a commit, not for the second."""


@dataclass(frozen=True)
class Death:
    """How the process ends itself: at the n-th passing of a point, or as SQLite's first COMMIT begins.

    With `torn`, SQLite's COMMIT is ended by the system amid its writing. `by` SIGSTOP it only
    stands still, until somebody lets it go on.
    """

    point: Point | None = None
    passing: int = 1
    torn: bool = False
    by: signal.Signals = signal.SIGKILL


@dataclass(frozen=True)
class Order:
    """What a process is to do; `note` is the file that it writes when it ends itself.

    With `joins`, no part goes on before another delivery of its job was joined to it; with `gathers`, none
    before so many jobs were prepared.
    """

    arguments: Sequence[str]
    log: Path
    note: Path
    death: Death | None = None
    bend: str | None = None
    joins: bool = False
    gathers: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)


def start(order: Order) -> BaseProcess:
    """Start `shardworker` with the order's arguments."""
    preload()
    process = forking.Process(target=_run, args=(order,))
    process.start()
    return process


def exit_status(process: BaseProcess) -> int | None:
    """The status that it ends with, negative for a signal; None if it does not end."""
    process.join(PATIENCE_SECONDS)
    return process.exitcode


def kill(process: BaseProcess) -> None:
    """Kill it if it still runs."""
    if process.is_alive():
        process.kill()
    process.join()
    process.close()


def _run(order: Order) -> None:
    os.environ.update(order.environment)
    with order.log.open("wb", buffering=0) as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    if order.bend is not None:
        BENDS[order.bend].apply()
    if order.joins:
        watchers.append(_holder())
    if order.gathers:
        watchers.append(_gatherer(order.gathers))
    if order.death is not None:
        _prepare(order.death, order.note)
    sys.argv = ["shardworker", *order.arguments]
    worker.cli.main()


def _holder() -> Watcher:
    joined = threading.Event()

    def watch(point: Point) -> None:
        if point == "after_join":
            joined.set()
        elif point == "after_claim":
            joined.wait(PATIENCE_SECONDS)

    return watch


def _gatherer(count: int) -> Watcher:
    gathered = threading.Event()
    prepared: list[Point] = []

    def watch(point: Point) -> None:
        if point == "after_prepare":
            prepared.append(point)
            if len(prepared) == count:
                gathered.set()
        elif point == "after_claim":
            gathered.wait(PATIENCE_SECONDS)

    return watch


def _prepare(death: Death, note: Path) -> None:
    if death.point is None:
        _die_in_commit(note, torn=death.torn)
        return
    passings: list[Point] = []

    def watch(point: Point) -> None:
        if point == death.point:
            passings.append(point)
            if len(passings) == death.passing:
                _die(note, death.by)

    watchers.append(watch)


def _die(note: Path, number: signal.Signals = signal.SIGKILL) -> None:
    note.touch()
    # a signal to the process would let this thread go on until another one had it
    signal.pthread_kill(threading.get_ident(), number)


def _die_in_commit(note: Path, *, torn: bool) -> None:
    """SQLite tells of each statement before it begins with it."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)

    def connected(connection: Any, _record: Any) -> None:
        ((_, _, file), *_) = connection.execute("PRAGMA database_list")
        connection.set_trace_callback(lambda statement: began(statement, Path(f"{file}-wal")))

    def began(statement: str, written_to: Path) -> None:
        if statement.startswith("COMMIT"):
            if not torn:
                _die(note)
            note.touch()
            limit = written_to.stat().st_size + WAL_BYTES_LEFT
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    event.listen(Engine, "connect", connected)
