"""Handlers for the end-to-end tests: they can be told by files to wait, and so stopped at a known moment."""

import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

from sqlalchemy import text

from config.points import passed
from handlers import PartContext, handles

INSERT = text("INSERT INTO orders (order_no, customer_id, note) VALUES (:order_no, :customer_id, :note)")
STEP = text("INSERT INTO steps (chain, number) VALUES (:chain, :number)")
PATIENCE_SECONDS = 60


@handles("orders.slow", dict)
def insert_slowly(payload: dict[str, Any], context: PartContext) -> dict[str, int]:
    """Insert the rows, say so by the file `started`, and go on when the file `go_on` is there."""
    rows = [{"note": None, **row, "customer_id": context.customer_id} for row in payload["rows"]]
    context.connection.execute(INSERT, rows)
    started, go_on = Path(payload["started"]), Path(payload["go_on"])
    started.with_name(f"{started.name}.{os.getpid()}.{context.customer_id}").touch()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not go_on.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return {"inserted": len(rows)}


@handles("orders.logged", dict)
def log_and_fail(payload: dict[str, Any], context: PartContext) -> None:
    """Write a line from a thread of its own, then fail unexpectedly."""
    del payload
    thread = threading.Thread(target=context.log.info, args=("Prices were looked up.",))
    thread.start()
    thread.join()
    raise RuntimeError


@handles("orders.verbose", dict)
def answer_at_length(payload: dict[str, Any], context: PartContext) -> dict[str, str]:
    """Return nearly as much as a result may hold."""
    del payload
    return {"customer": context.customer_id, "text": "x" * 64_000}


@handles("orders.step", dict)
def note_the_step(payload: dict[str, Any], context: PartContext) -> None:
    """Note a step of a chain; the table numbers what is noted in its order."""
    context.connection.execute(STEP, payload)


@handles("orders.killer", dict)
def kill_the_process(payload: dict[str, Any], context: PartContext) -> None:
    """End the process as an out-of-memory killer would."""
    del payload, context
    os.kill(os.getpid(), signal.SIGKILL)


@handles("orders.stuck", dict)
def hold_the_interpreter(payload: dict[str, Any], context: PartContext) -> None:
    """Say so by the file `started`, then let no other thread of the process run any more."""
    del context
    Path(payload["started"]).touch()
    re.match(r"(a+)+$", "a" * 60 + "b")


@handles("orders.crash", dict)
def fail_unexpectedly(payload: dict[str, Any], context: PartContext) -> None:
    """Raise what no handler should."""
    del context
    raise RuntimeError(f"secret value {payload['secret']}")


@handles("orders.fragile", dict)
def insert_or_fail(payload: dict[str, Any], context: PartContext) -> dict[str, int]:
    """Note the run in the file `runs`, insert a row, and fail where `fails` names a file that is there."""
    with Path(payload["runs"]).open("a") as runs:
        runs.write(f"{context.customer_id}\n")
    row = {"order_no": payload["order_no"], "customer_id": context.customer_id, "note": None}
    context.connection.execute(INSERT, row)
    passed("inside_handler")
    if Path(payload["fails"]).exists():
        raise RuntimeError("as it was told")
    with context.attachments["lines.csv"].open() as lines:
        return {"inserted": 1, "bytes": len(lines.read())}


@handles("orders.counted", dict)
def insert_counted(payload: dict[str, Any], context: PartContext) -> dict[str, int]:
    """Note the run in the file `runs`, which no rollback takes back, and insert the rows."""
    with Path(payload["runs"]).open("a") as runs:
        runs.write(f"{context.job.job_id}\n")
    rows = [{"note": None, **row, "customer_id": context.customer_id} for row in payload["rows"]]
    context.connection.execute(INSERT, rows)
    return {"inserted": len(rows)}


@handles("orders.deadly", dict)
def kill_in_company(payload: dict[str, Any], context: PartContext) -> None:
    """End the process once so many other handlers of it wait as the file `company` says."""
    del context
    started, company = Path(payload["started"]), int(Path(payload["company"]).read_text())
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(list(started.parent.glob(f"{started.name}.{os.getpid()}.*"))) < company:
        if time.monotonic() > deadline:
            return
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)


@handles("orders.sleep", dict)
def sleep_on_the_server(payload: dict[str, Any], context: PartContext) -> None:
    """Insert the rows, then wait for one long statement."""
    rows = [{"note": None, **row, "customer_id": context.customer_id} for row in payload["rows"]]
    context.connection.execute(INSERT, rows)
    context.connection.execute(text("SELECT pg_sleep(60)"))


@handles("orders.stamped", dict)
def tell_the_stamps(payload: dict[str, Any], context: PartContext) -> dict[str, Any]:
    """Insert the rows, and return what Symfony's stamps say."""
    rows = [{"note": None, **row, "customer_id": context.customer_id} for row in payload["rows"]]
    context.connection.execute(INSERT, rows)
    return {"retries": context.stamps.retry_count, "bus": context.stamps.bus}
