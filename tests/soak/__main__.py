"""The soak's command line: `python -m tests.soak --seed 1`; see CONTRIBUTING.md."""

import argparse
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.soak.plan import make_plan, sizes_of
from tests.soak.report import audit_line, complaints, is_clean
from tests.soak.run import soak
from tests.support.bends import BENDS


def main() -> None:
    """Run a soak and print its audit line; exit status 1 where anything is wrong."""
    options = _options()
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    plan = make_plan(seed, sizes_of(options.jobs, options.kills, options.restarts, options.workers))
    _say(f"Plan {plan.digest}: --seed {seed} makes the same jobs and the same faults again.")
    directory = Path(tempfile.mkdtemp(prefix="shardworker-soak-"))
    outcome = soak(plan, directory, _say, options.bend)
    for line in complaints(outcome):
        _say(line)
    _say(audit_line(plan, outcome))
    if not is_clean(outcome):
        _say(f"Configuration, notes and the workers' logs are in {directory}.")
        sys.exit(1)
    if not options.keep:
        shutil.rmtree(directory)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000, help="how many jobs are sent")
    parser.add_argument("--kills", type=int, default=55, help="how often a worker is killed")
    parser.add_argument("--restarts", type=int, default=22, help="how often a database server is restarted")
    parser.add_argument("--workers", type=int, default=3, help="how many worker processes there are")
    parser.add_argument("--seed", type=int, help="replays the choices of an earlier run; else by chance")
    parser.add_argument("--bend", choices=sorted(BENDS), help="break the workers' order of things")
    parser.add_argument("--keep", action="store_true", help="keep the directory with the workers' logs")
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
