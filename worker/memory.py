"""How much memory the process takes, as the kernel counts it."""

import resource
from pathlib import Path
from typing import Final

STATM: Final = Path("/proc/self/statm")


def resident_bytes(statm: Path = STATM) -> int | None:
    """What the process has in memory now; None where the system does not tell."""
    try:
        resident_pages = int(statm.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return resident_pages * resource.getpagesize()
