"""The handler whose jobs say what happens to them: it inserts, refuses, tries again, fails or dies."""

import os
import signal
from pathlib import Path
from typing import Any

from sqlalchemy import text

from handlers import PartContext, Reject, Retry, handles
from tests.soak.cast import SCRIPT

NOTES = "SOAK_NOTES"
"""The environment's variable with the directory in which tries are counted."""
INSERT = text(
    "INSERT INTO soak_rows (customer_id, job_id, number, amount)"
    " VALUES (:customer_id, :job_id, :number, :amount)"
)


@handles(SCRIPT, dict)
def follow_the_script(payload: dict[str, Any], context: PartContext) -> dict[str, int]:
    """Insert the payload's rows, then do what `then` says.

    `then` is absent, `refuse`, `retry` (the given `times`, which a file counts), `crash`, or `die`, which
    takes the process along.
    """
    rows = [{**row, "customer_id": context.customer_id} for row in payload["rows"]]
    context.connection.execute(INSERT, rows)
    match payload.get("then"):
        case "refuse":
            raise Reject("soak_refused", "The soak's script says so.")
        case "retry" if _tries(context) <= payload["times"]:
            raise Retry("The soak's script says so.")
        case "crash":
            raise RuntimeError
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
    return {"inserted": len(rows)}


def _tries(context: PartContext) -> int:
    path = Path(os.environ[NOTES], f"{context.job.job_id}.{context.customer_id}")
    with path.open("a") as notes:
        notes.write("x")
    return path.stat().st_size
