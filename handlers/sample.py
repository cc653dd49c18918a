"""The demo's handler in Python: imports an order with the lines of its CSV attachment, or refuses both."""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any, Final

import msgspec

from handlers.contract import PartContext, Reject, handles
from handlers.rows import csv_rows
from shards.sample import order_lines, orders

ATTACHMENT: Final = "lines.csv"


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The payload: the order, and how many lines its attachment has to have."""

    order_no: int
    ordered_on: date
    line_count: int


class Line(msgspec.Struct, frozen=True):
    """One line of the attachment."""

    line_no: int
    article: str
    quantity: int
    price_cents: int


@handles("orders.import", Order)
def import_order(order: Order, context: PartContext) -> dict[str, int]:
    """Insert one order and the lines of its attachment `lines.csv`; a wrong number of lines refuses both."""
    if ATTACHMENT not in context.attachments:
        raise Reject("lines_missing", f"The order comes without its attachment {ATTACHMENT!r}.")
    context.bulk_insert(orders, [_order_row(order, context.customer_id)])
    with context.attachments[ATTACHMENT].open() as stream:
        lines = csv_rows(stream, Line)
        line_count = context.bulk_insert(order_lines, _line_rows(lines, order, context.customer_id))
    if line_count != order.line_count:
        # The rows above are in the part's transaction: refusing the part takes them back.
        raise Reject(
            "line_count_differs", "The attachment has not as many lines as the payload's line_count."
        )
    context.log.info("order.imported", lines=line_count)
    return {"lines": line_count}


def _order_row(order: Order, customer_id: str) -> dict[str, Any]:
    return {"customer_id": customer_id, "order_no": order.order_no, "ordered_on": order.ordered_on}


def _line_rows(lines: Iterable[Line], order: Order, customer_id: str) -> Iterator[dict[str, Any]]:
    for line in lines:
        yield {"customer_id": customer_id, "order_no": order.order_no, **msgspec.structs.asdict(line)}
