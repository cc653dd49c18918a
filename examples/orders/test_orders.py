"""Tests of the example's handler: each runs it once on an SQLite database, without any queue."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, func, select

from examples.orders.handlers import insert_orders
from examples.orders.tables import METADATA, order_lines, orders
from handlers.testing import run_handler

PAYLOAD: dict[str, Any] = {"rows": [{"order_no": 7, "ordered_on": "2026-11-21"}]}
LINES = b"order_no,line_no,article,quantity,price\r\n7,1,Chair,4,19.90\r\n7,2,Table,1,250\r\n"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    """A database with the customer's tables."""
    engine = create_engine(f"sqlite:///{tmp_path / 'customer.db'}")
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


def test_orders_and_their_lines_are_inserted(database: Engine) -> None:
    """The payload's orders and the attachment's lines stand in their tables, and the result counts them."""
    run = run_handler(insert_orders, PAYLOAD, database, attachments={"lines.csv": LINES}, commit=True)

    assert run.error is None
    assert run.result == {"orders": 1, "lines": 2}
    with database.connect() as connection:
        assert connection.scalar(select(func.sum(order_lines.c.quantity))) == 5


def test_lines_that_do_not_fit_are_told_by_row_and_column(database: Engine) -> None:
    """A partner learns which cell is wrong, and nothing of the job stays."""
    lines = LINES + b"7,3,Lamp,many,10\r\n"

    run = run_handler(insert_orders, PAYLOAD, database, attachments={"lines.csv": lines}, commit=True)

    assert run.error is not None
    assert run.error.code == "invalid_rows"
    assert [(detail.row, detail.column) for detail in run.error.details] == [(4, "quantity")]
    with database.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(orders)) == 0


def test_an_order_that_exists_already_is_a_unique_violation(database: Engine) -> None:
    """The database's own keys are the judge."""
    run_handler(insert_orders, PAYLOAD, database, commit=True)

    run = run_handler(insert_orders, PAYLOAD, database)

    assert run.error is not None
    assert run.error.code == "unique_violation"
    assert [(detail.row, detail.column) for detail in run.error.details] == [(1, "order_no")]


def test_a_payload_without_orders_is_refused(database: Engine) -> None:
    """The handler refuses on purpose, with a code of its own."""
    run = run_handler(insert_orders, {"rows": []}, database)

    assert run.error is not None
    assert run.error.code == "no_orders"
