"""What writing a job's line of the log costs: CPU for each, from the call until it is written."""

import os
import time
from pathlib import Path
from typing import Any

import structlog

from config.settings import Logging
from tests.support.logging_state import logging_restored
from worker.logs import logging_behind

LINES = 5_000


def line_cpu_seconds(fields: dict[str, Any]) -> float:
    """The CPU seconds that a `job.done` with these fields takes, the thread that writes it included."""
    with logging_restored(), Path(os.devnull).open("w", encoding="ascii") as nowhere:
        began = time.process_time()
        with logging_behind(Logging(format="json"), nowhere):
            log = structlog.get_logger()
            for _ in range(LINES):
                log.info("job.done", **fields)
        return (time.process_time() - began) / LINES
