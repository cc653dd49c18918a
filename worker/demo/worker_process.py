"""The worker as a process of its own: started, watched until everything is settled, and always ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple, NoReturn

from worker.cli.stats_workers import see_workers
from worker.demo.failures import DemoFailed
from worker.demo.place import Place

TICK_SECONDS: Final = 0.05
STALL_SECONDS: Final = 60.0
LEAVE_SECONDS: Final = 15.0
# Should the demo itself be killed, its worker ends by itself.
LIFE_MAXIMUM: Final = "10m"
PROJECT: Final = Path(__file__).resolve().parents[2]
ENDING_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)
OWN_VARIABLES: Final = "SHARDWORKER"

Worker = subprocess.Popen[bytes]


@contextmanager
def running_worker(place: Place) -> Iterator[Worker]:
    """The worker on the demo's configuration, its log in a file; however the block ends, it is gone then.

    Raises:
        DemoFailed: it did not leave in good order at the end of the block.
    """
    with _signals_as_exit(), place.log.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program, with arguments of our own
            [
                sys.executable,
                "-m",
                "worker",
                "consume",
                "--config",
                str(place.config),
                "--time-limit",
                LIFE_MAXIMUM,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=PROJECT,
            env={name: value for name, value in os.environ.items() if not name.startswith(OWN_VARIABLES)},
        )
        try:
            yield process
            process.terminate()
            _check_exit(process.wait(LEAVE_SECONDS))
        except subprocess.TimeoutExpired as error:
            raise DemoFailed(
                f"The worker did not leave within {LEAVE_SECONDS:.0f} s after SIGTERM and was killed."
            ) from error
        finally:
            _end(process)


class Pace(NamedTuple):
    """How long the worker's process took to start, and then to settle everything."""

    start_seconds: float
    work_seconds: float


def wait_until_settled(
    process: Worker, state_directory: Path, total: int, advance: Callable[[int], None]
) -> Pace:
    """Wait until all messages are settled, telling `advance` how many of the `total` are.

    The worker is asked, at its socket: not every queue can tell how many messages it holds for somebody.

    Raises:
        DemoFailed: the worker ended before, or settled nothing for a minute.
    """
    settled = 0
    came_at = moved_at = time.monotonic()
    begun_at: float | None = None
    while settled < total:
        _pause(process)
        now, before, seen = time.monotonic(), settled, see_workers(state_directory)
        settled = max(settled, sum(worker.status.settled for worker in seen))
        advance(settled)
        if begun_at is None and any(worker.status.in_hand for worker in seen):
            begun_at = now
        if settled > before:
            moved_at = now
        elif now - moved_at > STALL_SECONDS:
            raise DemoFailed(
                f"Nothing was settled for {STALL_SECONDS:.0f} s; {total - settled} messages are left."
            )
    begun_at = moved_at if begun_at is None else begun_at
    return Pace(begun_at - came_at, max(moved_at - begun_at, TICK_SECONDS))


def _pause(process: Worker) -> None:
    """A short wait that ends early, with an error, when the worker ends."""
    try:
        status = process.wait(TICK_SECONDS)
    except subprocess.TimeoutExpired:
        return
    raise DemoFailed(f"The worker ended before all was settled, with status {status}.")


def _check_exit(status: int) -> None:
    if status != 0:
        raise DemoFailed(f"The worker left with status {status} instead of 0.")


def _end(process: Worker) -> None:
    """End the process if it still runs: it is asked first, and killed if it does not hear."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(LEAVE_SECONDS)
    finally:
        process.kill()
        process.wait()


@contextmanager
def _signals_as_exit() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as an exception does, so that the worker is ended too.

    One that is ignored, as `nohup` has it, stays ignored.
    """
    heard = [number for number in ENDING_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, _leave) for number in heard}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
