"""What a partner sends: the payload of a job, and the rows of its attachment."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct


class Order(Struct, frozen=True, forbid_unknown_fields=True):
    """One order."""

    order_no: Annotated[int, Meta(ge=1)]
    ordered_on: date
    note: Annotated[str, Meta(max_length=200)] | None = None


class Orders(Struct, frozen=True, forbid_unknown_fields=True):
    """The payload of `orders.insert`."""

    rows: list[Order]


class OrderLine(Struct, frozen=True):
    """One line of the attachment `lines.csv`."""

    order_no: int
    line_no: Annotated[int, Meta(ge=1)]
    article: Annotated[str, Meta(max_length=40)]
    quantity: Annotated[int, Meta(ge=1)]
    price: Decimal
