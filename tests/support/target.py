"""A stand-in for systemctl: `python -m tests.support.target stop|hurry|start DIRECTORY`.

The directory holds a file for each running worker, named by its process id. `stop` sends SIGTERM to each one
once, however often it is called, and waits for all to end, as `systemctl stop` does; `hurry` sends SIGINT.
"""

import os
import signal
import sys
import time
from pathlib import Path

LOOK_SECONDS = 0.02


def main() -> None:
    """Do what is asked, and note that it was."""
    verb, directory = sys.argv[1], Path(sys.argv[2])
    with (directory / "asked").open("a") as asked:
        asked.write(f"{verb}\n")
    pids = [int(path.name) for path in directory.glob("[0-9]*") if path.name.isdigit()]
    if verb == "stop":
        stop(directory, pids)
    elif verb == "hurry":
        for pid in filter(runs, pids):
            os.kill(pid, signal.SIGINT)


def stop(directory: Path, pids: list[int]) -> None:
    """One SIGTERM for each, and wait."""
    for pid in pids:
        told = directory / f"{pid}.told"
        if not told.exists():
            told.touch()
            os.kill(pid, signal.SIGTERM)
    while any(runs(pid) for pid in pids):
        time.sleep(LOOK_SECONDS)


def runs(pid: int) -> bool:
    """Whether the process is there and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    main()
