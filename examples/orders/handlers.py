"""The handler of `orders.insert`: orders from the payload, their lines from an attachment."""

from typing import Final

from examples.orders.models import OrderLine, Orders
from examples.orders.tables import order_lines, orders
from handlers import PartContext, Reject, csv_rows, handles

LINES: Final = "lines.csv"


@handles("orders.insert", Orders)
def insert_orders(payload: Orders, context: PartContext) -> dict[str, int]:
    """Insert the orders of the payload and the lines of `lines.csv`."""
    if not payload.rows:
        raise Reject("no_orders", "The payload has no order in `rows`.")
    inserted = context.bulk_insert(orders, payload.rows)
    lines = _insert_lines(context) if LINES in context.attachments else 0
    context.log.info("orders.inserted", orders=inserted, lines=lines)
    return {"orders": inserted, "lines": lines}


def _insert_lines(context: PartContext) -> int:
    with context.attachments[LINES].open() as stream:
        return context.bulk_insert(order_lines, csv_rows(stream, OrderLine))
