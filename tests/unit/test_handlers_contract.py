"""The contract: marks, Reject and Retry, and what a context does inside its transaction."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    func,
    select,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from config.job import Job
from config.result import ErrorDetail
from handlers import PartContext, Reject, Retry, handles
from handlers.contract import LocalAttachment, marks_of
from handlers.testing import run_handler
from shards.bulk import RowRefused
from shards.directory import Placement, PlacementState


class Base(DeclarativeBase):
    """The mapped classes of these tests."""


class Item(Base):
    """A row with a key."""

    __tablename__ = "items"

    item_no: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]


ITEMS = Table("items", MetaData(), Column("item_no", Integer), Column("name", String))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path / 'shard.db'}")
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def context_of(connection: Any = None, **changes: Any) -> PartContext:
    values: dict[str, Any] = {
        "connection": connection,
        "job": Job(job_id="j", type="t", partner_id="p", customers=("c-1",)),
        "job_type": "t",
        "customer_id": "c-1",
        "placement": Placement("c-1", "eu1", "tenant_1", PlacementState.ACTIVE, 1),
        "attachments": {},
        "log": None,
        "lease_lost": threading.Event(),
        "clock": lambda: 0.0,
        "deadline": 0.0,
    }
    return PartContext(**{**values, **changes})


def count(connection: Connection) -> int | None:
    return connection.scalar(select(func.count()).select_from(ITEMS))


def test_a_marked_function_stays_callable_and_keeps_all_its_marks() -> None:
    """`handles` only writes on the function; nothing is registered anywhere."""

    @handles("a", dict)
    @handles("b", list)
    def function(payload: Any, _context: PartContext) -> Any:
        return payload

    assert [(mark.job_type, mark.model) for mark in marks_of(function)] == [("b", list), ("a", dict)]
    assert function(1, context_of()) == 1


def test_a_class_whose_attribute_is_marked_is_no_handler_itself() -> None:
    """Marks are read from the value's own attributes, never from those of its class."""

    class Holder:
        @handles("a")
        def method(self) -> None:
            """Do nothing."""

    assert marks_of(Holder()) == ()
    assert marks_of(3) == ()


def test_a_rejection_is_cut_to_what_a_result_can_carry() -> None:
    """A long message or many details never make the result itself invalid."""
    details = (ErrorDetail(row=number) for number in range(1000))

    rejection = Reject("too_many", "x" * 5000, details)

    assert len(rejection.message) == 1000
    assert len(rejection.details) == 100


@pytest.mark.parametrize("code", ["", "x" * 65])
def test_a_rejection_needs_a_code_that_a_result_can_carry(code: str) -> None:
    """A code of a wrong length shows in the handler's own tests."""
    with pytest.raises(ValueError, match="1 to 64 characters"):
        Reject(code, "message")


@pytest.mark.parametrize(("message", "details"), [(7, ()), (["text"], ()), ("text", [{"row": 3}])])
def test_a_rejection_that_no_result_could_carry_shows_where_it_is_made(message: Any, details: Any) -> None:
    """In the handler's own tests, not when the worker records it."""
    with pytest.raises(TypeError):
        Reject("own_code", message, details)


def test_a_retry_s_delay_is_a_timedelta() -> None:
    """A number could be seconds or minutes."""
    with pytest.raises(TypeError, match="timedelta"):
        Retry("later", after=5)  # type: ignore[arg-type]


def test_a_retry_carries_its_delay() -> None:
    """The delay is the handler's wish, None where it has none."""
    assert Retry("later", after=timedelta(minutes=5)).after == timedelta(minutes=5)
    assert Retry().after is None


def test_an_attachment_opens_as_bytes_and_never_shows_its_path(tmp_path: Path) -> None:
    """A log line with an attachment in it tells no path of the machine."""
    path = tmp_path / "0"
    path.write_bytes(b"a,b")
    attachment = LocalAttachment("lines.csv", path, 3, "00")

    with attachment.open() as stream:
        assert stream.read() == b"a,b"
    assert str(tmp_path) not in repr(attachment)


def test_the_time_left_is_counted_down_to_zero() -> None:
    """The clock comes from outside; a deadline that is past leaves nothing, not less."""
    assert context_of(clock=lambda: 10.0, deadline=12.5).time_left() == timedelta(seconds=2.5)
    assert context_of(clock=lambda: 10.0, deadline=2.0).time_left() == timedelta()


def test_progress_is_passed_on() -> None:
    """A handler tells how far it is, with the total or without."""
    told: list[tuple[int, int | None]] = []
    context = context_of(report_progress=lambda done, total: told.append((done, total)))

    context.progress(1, 10)
    context.progress(2)

    assert told == [(1, 10), (2, None)]
    context_of().progress(3)


def test_the_schema_is_the_placements() -> None:
    """The customer's schema comes with its placement."""
    assert context_of().schema == "tenant_1"


def test_a_context_shows_no_payload() -> None:
    """A context in a log line or a traceback tells whose it is and nothing of the content."""
    job = Job(job_id="j", type="t", partner_id="p", customers=("c-1",), payload={"secret": "s3cret"})

    assert "s3cret" not in repr(context_of(job=job))


def test_a_session_writes_into_the_parts_transaction(engine: Engine) -> None:
    """What the session holds at its end is in the transaction, and goes with it."""
    with engine.connect() as connection, connection.begin() as transaction:
        connection.exec_driver_sql("BEGIN")
        with context_of(connection).session() as session:
            session.add(Item(item_no=1, name="a"))
        assert count(connection) == 1
        transaction.rollback()

    with engine.connect() as connection:
        assert count(connection) == 0


def test_a_sessions_commit_only_flushes_and_its_rollback_takes_back_no_more(engine: Engine) -> None:
    """A session commits nothing for good, and leaves what stood before it."""
    with engine.connect() as connection, connection.begin() as transaction:
        connection.exec_driver_sql("BEGIN")
        context = context_of(connection)
        context.bulk_insert(ITEMS, [{"item_no": 1, "name": "a"}])
        with context.session() as session:
            session.add(Item(item_no=2, name="b"))
            session.commit()
            session.add(Item(item_no=3, name="c"))
            session.flush()
            session.rollback()
        assert count(connection) == 2
        transaction.rollback()

    with engine.connect() as connection:
        assert count(connection) == 0


def test_a_session_whose_block_fails_leaves_nothing(engine: Engine) -> None:
    """A handler may catch an error of its own around a session."""
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("BEGIN")
        with pytest.raises(IntegrityError), context_of(connection).session() as session:
            session.add_all([Item(item_no=1, name="a"), Item(item_no=1, name="b")])
        assert count(connection) == 0


def test_bulk_insert_names_the_row_that_the_database_refuses(engine: Engine) -> None:
    """The row's number and the column come with the constraint's code."""
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("BEGIN")
        with pytest.raises(RowRefused) as caught:
            context_of(connection).bulk_insert(
                Item.__table__, [{"item_no": number % 3, "name": "s3cret"} for number in range(5)]
            )

    failure = caught.value.failure
    assert failure.code == "unique_violation"
    assert failure.details == (ErrorDetail(row=4, column="item_no", rule="unique"),)
    assert "s3cret" not in failure.message


def test_a_handler_that_commits_is_stopped(engine: Engine) -> None:
    """In a test as in the worker, the transaction is not the handler's to end."""

    @handles("t")
    def handler(_payload: Any, context: PartContext) -> None:
        context.bulk_insert(ITEMS, [msgspec.defstruct("Row", ["item_no", "name"])(1, "a")])
        context.connection.commit()

    with pytest.raises(Exception, match="belongs to the worker"):
        run_handler(handler, None, engine, commit=True)
    with engine.connect() as connection:
        assert count(connection) == 0
