"""A middleware that hangs where nothing limits its time, in a process that has little patience."""

import os
import time
from pathlib import Path

from handlers import Next, Outcome, PartEnvelope
from worker import turn_limits

PATIENCE_SECONDS = 60.0

VARIABLES = {
    "SHARDWORKER__HANDLERS__MIDDLEWARE": f'["{__name__}:Hang"]',
    "SHARDWORKER__SHARDS__S0__STATEMENT_TIMEOUT": "1s",
    "SHARDWORKER__SHARDS__S0__LOCK_TIMEOUT": "1s",
}
"""Makes a worker use it: a part on the shard s0 may take two seconds then."""


class Hang:
    """Says so by the file `hangs` in the directory `HANG_DIRECTORY`, and goes on when `go_on` is there."""

    def __init__(self) -> None:
        """Take the process's patience away."""
        vars(turn_limits)["STATEMENTS_GRACE_SECONDS"] = 0.0
        self._directory = Path(os.environ["HANG_DIRECTORY"])

    def __call__(self, envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
        """Hang, and run the part at last."""
        (self._directory / "hangs").touch()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (self._directory / "go_on").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return next(envelope)
