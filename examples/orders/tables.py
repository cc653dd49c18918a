"""The customers' tables that the handler writes to."""

from typing import Final

from sqlalchemy import Column, Date, ForeignKey, Integer, MetaData, Numeric, String, Table

METADATA: Final = MetaData()

# No schema is named: the worker puts the customer's in.
orders: Final = Table(
    "orders",
    METADATA,
    Column("order_no", Integer, primary_key=True, autoincrement=False),
    Column("ordered_on", Date, nullable=False),
    Column("note", String(200)),
)

order_lines: Final = Table(
    "order_lines",
    METADATA,
    Column("order_no", ForeignKey(orders.c.order_no), primary_key=True),
    Column("line_no", Integer, primary_key=True),
    Column("article", String(40), nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("price", Numeric(10, 2), nullable=False),
)
