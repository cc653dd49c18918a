"""Runs of the built-in handler that leaves bad rows out, and what its two files hold."""

import csv
import io
from typing import Any

from config.settings import InsertHandler
from handlers.registry import insert_spec
from handlers.testing import HandlerRun, run_handler


def skip(database: Any, files: dict[str, bytes], *, dry_run: bool = False, **section: Any) -> HandlerRun:
    """One run on these attachments, kept if it succeeds."""
    fields = {"type": "t", "table": "items", "source": "attachments", "on_bad_row": "skip", **section}
    spec = insert_spec(InsertHandler.model_validate(fields))
    return run_handler(spec, None, database, attachments=files, commit=True, dry_run=dry_run)


def rejected(run: HandlerRun, name: str = "a.csv") -> bytes:
    """The file of the attachment's bad rows; nothing if there is none."""
    form = "jsonl" if ".jsonl" in name else "csv"
    return run.files.get(f"test/{name}.results/rejected.{form}", b"")


def faults(run: HandlerRun, name: str = "a.csv") -> list[list[str]]:
    """What the other file says, behind its header."""
    data = run.files.get(f"test/{name}.results/faults.csv", b"")
    return list(csv.reader(io.StringIO(data.decode(), newline="")))[1:]
