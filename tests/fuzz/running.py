"""Runs many cases of a target, in batches that a seed decides; what is found is made small and kept."""

import hashlib
import json
import time
import traceback
from collections import Counter
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.tape import TAPE_BYTES, Tape
from tests.fuzz.target import Case, Target

TAPES: Final = st.binary(min_size=TAPE_BYTES, max_size=TAPE_BYTES)
BATCH: Final = 1000
"""Hypothesis remembers all that it tried of one test: many small ones take no more and more memory."""


@dataclass
class Tally:
    """What became of a target's cases; `find` is the first that failed, as small as it could be made."""

    target: str
    count: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    find: Case | None = None
    trace: str = ""

    def line(self) -> str:
        """All of it for people."""
        found = "1 find" if self.find else "no find"
        ends = ", ".join(f"{end} {times:,}" for end, times in self.ends.most_common())
        rate = self.count / self.seconds if self.seconds else 0
        return f"{self.target}: {self.count:,} cases, {rate:.0f} a second, {found}; {ends}"


def run_target(
    target: Target,
    count: int,
    chosen: Hashable,
    guarded: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Tally:
    """Run so many cases, or those up to the first that fails; the same ones each time for the same seed.

    Each is run inside of what `guarded` makes, which may end it.
    """
    tally = Tally(target.name)
    begin = time.monotonic()
    while tally.count < count and tally.find is None:
        number = tally.count // BATCH
        _run_batch(target, tally, min(BATCH, count - tally.count), f"{chosen}, batch {number}", guarded)
    tally.seconds = time.monotonic() - begin
    return tally


def find_name(tally: Tally) -> str:
    """A name for the file of what was found, until somebody says what it shows."""
    digest = hashlib.sha256(json.dumps(tally.find).encode()).hexdigest()
    return f"found-by-{tally.target}-{digest[:8]}"


def _run_batch(
    target: Target, tally: Tally, count: int, chosen: str, guarded: Callable[[], AbstractContextManager[None]]
) -> None:
    last: dict[str, Any] = {}

    def run(data: bytes) -> None:
        tally.count += 1
        last["case"] = target.make(Tape(data))
        with guarded():
            tally.ends += target.run(last["case"])

    # what is found is run last of all in its smallest form
    batch: Callable[[], None] = seed(chosen)(_settings(count)(given(data=TAPES)(run)))
    try:
        batch()
    except Exception:  # noqa: BLE001 - whatever it is, it is a find
        tally.find, tally.trace = last["case"], traceback.format_exc()


def _settings(count: int) -> settings:
    return settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=False,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
