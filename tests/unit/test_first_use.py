"""A new process takes many jobs at once: its threads meet at the first use of every model."""

import subprocess
import sys

from tests.support.world import ROOT


def test_threads_that_meet_at_the_first_use_of_a_model_do_not_end_the_process() -> None:
    """All that workers decode is ready before there are threads, handlers' own models too.

    msgspec builds what it keeps of a type at its first use, and other threads may use it half built: SIGSEGV.
    """
    command = [sys.executable, "-m", "tests.support.first_use"]
    told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=200)
    assert told.returncode == 0, f"ended with {told.returncode} at: {told.stdout}{told.stderr}"
