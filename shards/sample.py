"""The demo's customer tables: their form, the rows in them before the demo, and those found after it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Final, NamedTuple

from sqlalchemy import Column, Connection, Date, Integer, MetaData, String, Table, insert, literal, select

from shards.engines import Shard

TABLES: Final = MetaData()

orders: Final = Table(
    "orders",
    TABLES,
    Column("customer_id", String(128), primary_key=True),
    Column("order_no", Integer, primary_key=True, autoincrement=False),
    Column("ordered_on", Date, nullable=False),
    Column("note", String(200)),
)

# No unique key over customer, order and line: rows that were inserted twice stand here twice and are found.
order_lines: Final = Table(
    "order_lines",
    TABLES,
    Column("line_id", Integer, primary_key=True),
    Column("customer_id", String(128), nullable=False, index=True),
    Column("order_no", Integer, nullable=False),
    Column("line_no", Integer, nullable=False),
    Column("article", String(40), nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("price_cents", Integer, nullable=False),
)


class RowKey(NamedTuple):
    """What tells a row from every other one; an order itself has the line number 0."""

    customer_id: str
    order_no: int
    line_no: int = 0


def create_tables(shard: Shard, earlier_orders: Iterable[RowKey]) -> None:
    """Create the customers' tables on the shard, with these orders in them from earlier on."""
    rows = [
        {"customer_id": key.customer_id, "order_no": key.order_no, "ordered_on": date(2026, 1, 2)}
        for key in earlier_orders
    ]
    shard.create_database()
    with shard.connect() as connection, connection.begin():
        TABLES.create_all(connection)
        connection.execute(insert(orders), rows)


def find_rows(shard: Shard) -> Counter[RowKey]:
    """Every row of the customers' tables on the shard by its key, and how often it is there."""
    with shard.connect(reading=True) as connection:
        return Counter(_keys(connection))


def _keys(connection: Connection) -> Iterator[RowKey]:
    line_numbers = ((orders, literal(0)), (order_lines, order_lines.c.line_no))
    for table, line_no in line_numbers:
        for row in connection.execute(select(table.c.customer_id, table.c.order_no, line_no)):
            yield RowKey(*row)
