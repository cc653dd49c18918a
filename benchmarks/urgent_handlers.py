"""Handlers of the benchmark of urgent jobs."""

import time
from typing import Any

from sqlalchemy import text

from handlers import PartContext, handles

INSERT = text("INSERT INTO orders (order_no, customer_id) VALUES (:order_no, :customer_id)")


@handles("orders.lasting", dict)
def insert_and_last(payload: dict[str, Any], context: PartContext) -> dict[str, int]:
    """Insert the rows, then keep the thread and the transaction for as long as the payload says."""
    rows = [{**row, "customer_id": context.customer_id} for row in payload["rows"]]
    context.connection.execute(INSERT, rows)
    time.sleep(payload["seconds"])
    return {"inserted": len(rows)}
