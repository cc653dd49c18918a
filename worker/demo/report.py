"""The demo's report: tables of what happened, the proof, and how to go on from there."""

import os
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from worker.cli.output import print_line, print_table
from worker.demo.cast import CUSTOMERS, shard_of
from worker.demo.findings import Findings
from worker.demo.place import Place
from worker.demo.proof import Verdict, told
from worker.demo.stream import Sent
from worker.demo.worker_process import Pace

NOT_ANSWERED: Final = "not answered"
OUTCOMES: Final = ("succeeded", "partial", "failed", "rejected", NOT_ANSWERED)
PROGRAM: Final = "shardworker"


def print_report(stream: Sequence[Sent], findings: Findings, pace: Pace) -> None:
    """Print the tables and the speed."""
    _print_outcomes(stream, findings)
    _print_rows(findings)
    _print_failures(findings)
    print_line(
        f"{len(stream)} messages settled in {pace.work_seconds:.1f} s, "
        f"{len(stream) / pace.work_seconds:.0f} jobs per second, "
        f"after {pace.start_seconds:.1f} s in which the worker's process started."
    )
    print_line("")


def print_verdicts(verdicts: Sequence[Verdict]) -> bool:
    """Print a green line for each proof that holds, a red one for each that fails; whether all hold."""
    console = Console(highlight=False)
    for verdict in verdicts:
        mark, style = ("PROOF FAILED", "bold red") if verdict.faults else ("PROVED", "green")
        console.print(f"{mark}  {told(verdict)}.", style=style, markup=False, soft_wrap=True)
    return not any(verdict.faults for verdict in verdicts)


def print_ways_on(place: Place, stream: Sequence[Sent], findings: Findings) -> None:
    """Print commands to try on what the demo left, with ids of this run."""
    config = shlex.quote(_shown(place.config))
    copied = next(sent for sent in stream if sent.kind.copies > 1 and sent.kind.answer == "succeeded")
    partial = next(sent for sent in stream if sent.kind.answer == "partial")
    letter = findings.dead_letters[0]
    print_line("")
    print_line("Everything stays where it is. To go on:")
    for arguments, purpose in (
        (f"explain {partial.answered_as}", "a job that succeeded for some of its customers"),
        (f"explain {copied.answered_as}", f"a job that was delivered {copied.kind.copies} times"),
        ("results", "the answers to the partners"),
        ("failed list", "what could not be handled, and why"),
        (f"failed show {letter.message_id}", "one of them, whole"),
    ):
        print_line(f"  {_program()} {arguments} --config {config}   # {purpose}")
    print_line(f"The worker's log: {_shown(place.log)}")
    if place.queues.names:
        print_line(
            f"On the broker stay the queues {', '.join(place.queues.names)} until you remove them: "
            "docs/queues.md says how."
        )


def _print_outcomes(stream: Sequence[Sent], findings: Findings) -> None:
    messages = Counter(_outcome(sent, findings) for sent in stream)
    jobs: Counter[str] = Counter(results[0].status for results in findings.results.values())
    rows = [(outcome, jobs[outcome] or None, messages[outcome]) for outcome in OUTCOMES]
    total = ("total", sum(jobs.values()), sum(messages.values()))
    print_table(("outcome", "jobs", "messages, copies included"), [*rows, total], title="Jobs by outcome")


def _outcome(sent: Sent, findings: Findings) -> str:
    results = findings.results.get(sent.answered_as or "")
    return results[0].status if results else NOT_ANSWERED


def _print_rows(findings: Findings) -> None:
    rows = [
        (name, sum(shard_of(customer) == name for customer in CUSTOMERS), f"{keys.total():,}")
        for name, keys in findings.rows.items()
    ]
    print_table(("shard", "customers", "rows"), rows, title="Rows per shard")


def _print_failures(findings: Findings) -> None:
    counts = Counter((letter.header.code, letter.header.reason) for letter in findings.dead_letters)
    rows = [(code, count, reason) for (code, reason), count in sorted(counts.items(), key=str)]
    print_table(("code", "messages", "reason"), rows, title="On the failure queue")


def _program() -> str:
    """How this program is called from where we are."""
    called = Path(sys.argv[0])
    if called.name != PROGRAM:
        return f"{shlex.quote(_shown(Path(sys.executable)))} -m worker"
    found = shutil.which(PROGRAM)
    return PROGRAM if found and Path(found).samefile(called) else shlex.quote(_shown(called))


def _shown(path: Path) -> str:
    """The path from the current directory where it lies below it, else the whole of it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith(os.pardir) else relative
