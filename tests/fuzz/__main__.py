"""`python -m tests.fuzz [TARGET…]`: a long run over each target; exit status 1 where one found something."""

import argparse
import resource
import secrets
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from tests.fuzz.configuring import Configuring
from tests.fuzz.decoding import Decoding
from tests.fuzz.preparing import Preparing
from tests.fuzz.reading_rows import ReadingRows
from tests.fuzz.running import find_name, run_target
from tests.fuzz.target import CORPUS, Target, keep

TARGETS: Final[dict[str, Callable[[], Target]]] = {
    "decode": Decoding,
    "prepare": Preparing,
    "rows": ReadingRows,
    "configuration": Configuring,
}
COUNT: Final = 100_000
CASE_SECONDS_MAXIMUM: Final = 30
"""Of the processor's time: what takes more would never end."""

MEMORY_BYTES_MAXIMUM: Final = 4 * 2**30


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for, and say what became of it; the exit status, 1 where something was found."""
    options = _options(arguments)
    again = f"python -m tests.fuzz --messages {options.messages} --seed {options.seed}"
    _say(f"seed {options.seed}; again: {again}")
    before = signal.signal(signal.SIGPROF, _give_up)
    try:
        found = [_find(name, options) for name in options.targets or TARGETS]
    finally:
        signal.signal(signal.SIGPROF, before)
    return int(any(found))


class NeverEnds(Exception):
    """A case takes too long."""


def _find(name: str, options: argparse.Namespace) -> bool:
    """Run one target; whether it found something, which is kept."""
    with closing(TARGETS[name]()) as target:
        tally = run_target(target, options.messages, f"{name}, {options.seed}", _in_time)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    _say(f"{tally.line()}; at most {memory} MB in all")
    if tally.find is not None:
        file = keep(target.folder, find_name(tally), tally.find, options.corpus)
        _say(f"{tally.trace}\nKept as {file}")
    return tally.find is not None


@contextmanager
def _in_time() -> Iterator[None]:
    """Inside the block nothing goes on for ever."""
    signal.setitimer(signal.ITIMER_PROF, CASE_SECONDS_MAXIMUM)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _give_up(*_: object) -> None:
    raise NeverEnds


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--messages", type=int, default=COUNT, help=f"cases for each target ({COUNT:,})")
    parser.add_argument(
        "--seed", type=int, default=secrets.randbelow(10**6), help="to run the same cases again"
    )
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="where a find is kept")
    options = parser.parse_args(arguments)
    if unknown := set(options.targets) - TARGETS.keys():
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAXIMUM, resource.RLIM_INFINITY))
    sys.exit(main())
