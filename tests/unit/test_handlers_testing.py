"""The test kit for handlers' authors: a run as the worker's, without a queue."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table, create_engine, insert, select

from config.result import ErrorDetail
from config.stamps import BUS_NAME, NO_STAMPS
from handlers import PartContext, Reject, Retry, handles
from handlers.registry import handler_specs
from handlers.testing import run_handler

ITEMS = Table("items", MetaData(), Column("item_no", Integer, primary_key=True))


class Numbers(msgspec.Struct):
    numbers: list[int]


@handles("numbers.insert", Numbers)
def insert_numbers(payload: Numbers, context: PartContext) -> dict[str, Any]:
    context.connection.execute(insert(ITEMS), [{"item_no": number} for number in payload.numbers])
    context.progress(len(payload.numbers), 10)
    context.log.info("numbers.inserted", count=len(payload.numbers))
    return {"customer": context.customer_id, "count": len(payload.numbers)}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path / 'shard.db'}")
    ITEMS.metadata.create_all(engine)
    yield engine
    engine.dispose()


def numbers(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.scalars(select(ITEMS.c.item_no)))


def test_a_run_tells_the_result_and_leaves_nothing(engine: Engine) -> None:
    """Tests on one database do not see each other's rows."""
    run = run_handler(insert_numbers, {"numbers": [1, 2]}, engine, customer_id="c-7")

    assert run.result == {"customer": "c-7", "count": 2}
    assert run.error is None
    assert run.progress == [(2, 10)]
    assert run.logged == [("info", "numbers.inserted", {"count": 2})]
    assert numbers(engine) == []


def test_a_run_can_be_kept(engine: Engine) -> None:
    """For a second run that meets the first one's rows."""
    run_handler(insert_numbers, {"numbers": [1, 2]}, engine, commit=True)

    run = run_handler(insert_numbers, {"numbers": [3, 2]}, engine, commit=True)

    assert numbers(engine) == [1, 2]
    assert run.error is not None
    assert run.error.code == "unique_violation"
    assert not run.error.retryable


def test_a_savepoint_of_the_handler_does_not_outlive_the_run(engine: Engine) -> None:
    """SQLite's driver would commit a savepoint that stands before the first write."""

    @handles("t")
    def handler(_payload: Any, context: PartContext) -> int:
        return context.bulk_insert(ITEMS, [{"item_no": 1}])

    assert run_handler(handler, None, engine).result == 1
    with engine.connect() as connection:
        assert run_handler(handler, None, connection).result == 1
    assert numbers(engine) == []


def test_a_run_may_use_a_transaction_that_the_test_began(engine: Engine) -> None:
    """A test's own rows are seen by the handler; both go together."""
    with engine.connect() as connection:
        connection.execute(insert(ITEMS), [{"item_no": 1}])
        kept = run_handler(insert_numbers, {"numbers": [2]}, connection, commit=True)
        refused = run_handler(insert_numbers, {"numbers": [1]}, connection)
        found = list(connection.scalars(select(ITEMS.c.item_no)))
        connection.rollback()

    assert kept.result == {"customer": "c-1", "count": 1}
    assert refused.error is not None
    assert found == [1, 2]
    assert numbers(engine) == []


def test_a_payload_goes_the_way_of_json(engine: Engine) -> None:
    """What a partner could not have sent does not reach the handler."""
    run = run_handler(insert_numbers, {"numbers": ["1"]}, engine)

    assert run.error is not None
    assert run.error.code == "invalid_payload"
    assert run.error.details == (ErrorDetail(column="$.numbers[0]", rule="expected int, got str"),)


def test_reject_and_retry_are_told_as_the_partner_is_told(engine: Engine) -> None:
    """The two exceptions that a handler raises on purpose."""

    @handles("t")
    def handler(payload: str, _context: PartContext) -> None:
        if payload == "reject":
            raise Reject("closed", "The books are closed.", [ErrorDetail(row=1)])
        raise Retry(after=timedelta(seconds=1))

    rejected, retried = (run_handler(handler, payload, engine).error for payload in ("reject", "retry"))

    assert rejected is not None
    assert (rejected.code, rejected.message, rejected.retryable) == ("closed", "The books are closed.", False)
    assert rejected.details == (ErrorDetail(row=1),)
    assert retried is not None
    assert (retried.code, retried.retryable) == ("retry_requested", True)


@pytest.mark.parametrize("value", [object(), float("nan"), "x" * 70_000])
def test_a_result_that_is_no_small_json_is_a_bad_result(engine: Engine, value: Any) -> None:
    """The worker would fail the part, and so does the run; nothing is kept."""

    @handles("t")
    def handler(_payload: Any, context: PartContext) -> Any:
        context.bulk_insert(ITEMS, [{"item_no": 1}])
        return value

    run = run_handler(handler, None, engine, commit=True)

    assert run.error is not None
    assert run.error.code == "bad_result"
    assert numbers(engine) == []


def test_any_other_exception_comes_through(engine: Engine) -> None:
    """A test shows the traceback of what the handler's author did not expect."""

    @handles("t")
    def handler(_payload: Any, context: PartContext) -> None:
        context.bulk_insert(ITEMS, [{"item_no": 1}])
        raise KeyError("unexpected")

    with pytest.raises(KeyError, match="unexpected"):
        run_handler(handler, None, engine, commit=True)
    assert numbers(engine) == []


def test_attachments_lie_on_disk_while_the_handler_runs(engine: Engine) -> None:
    """As in the worker they are files, verified and gone afterwards."""
    paths: list[Path] = []

    @handles("t")
    def handler(_payload: Any, context: PartContext) -> list[Any]:
        (attachment,) = context.attachments.values()
        paths.append(attachment.path)
        with attachment.open() as stream:
            return [attachment.name, attachment.size, attachment.sha256[:6], stream.read().decode()]

    run = run_handler(handler, None, engine, attachments={"b.csv": b"abc"})

    assert run.result == ["b.csv", 3, "ba7816", "abc"]
    assert not paths[0].exists()


def test_the_job_is_whole(engine: Engine) -> None:
    """A handler may look at the job, its placement and its time."""

    @handles("t")
    def handler(_payload: Any, context: PartContext) -> list[Any]:
        (request,) = context.job.part_requests()
        return [request.customer_id, context.job_type, context.schema, context.time_left() > timedelta()]

    assert run_handler(handler, None, engine, schema="tenant").result == ["c-1", "t", "tenant", True]


def test_the_customers_schema_is_where_tables_are_looked_for(engine: Engine) -> None:
    """A handler's tables name no schema: the placement does."""

    @handles("t")
    def handler(_payload: Any, context: PartContext) -> int:
        return context.bulk_insert(ITEMS, [{"item_no": 1}])

    assert run_handler(handler, None, engine, schema="main").result == 1
    missing = run_handler(handler, None, engine, schema="no_such_schema").error
    assert missing is not None
    assert missing.code == "schema_defect"


def test_a_function_for_several_types_is_run_by_its_spec(engine: Engine) -> None:
    """Which type is meant is never guessed."""

    @handles("a")
    @handles("b")
    def handler(_payload: Any, context: PartContext) -> str:
        return context.job_type

    with pytest.raises(ValueError, match="2 job types"):
        run_handler(handler, None, engine)
    with pytest.raises(ValueError, match="0 job types"):
        run_handler(print, None, engine)
    assert {run_handler(spec, None, engine).result for spec in handler_specs(handler)} == {"a", "b"}


def test_a_handler_may_be_given_symfony_s_stamps(engine: Engine) -> None:
    """As a message of its would bring them; none without."""

    @handles("numbers.stamped")
    def handler(payload: Any, context: PartContext) -> str | None:
        del payload
        return context.stamps.bus

    stamps = NO_STAMPS.adding(BUS_NAME, {"busName": "commands"})
    assert run_handler(handler, None, engine, stamps=stamps).result == "commands"
    assert run_handler(handler, None, engine).result is None


def test_a_dry_run_tells_the_handler_and_leaves_nothing(engine: Engine) -> None:
    """Even where the test asked to keep what is written."""

    @handles("numbers.tried", Numbers)
    def insert_or_try(payload: Numbers, context: PartContext) -> bool:
        insert_numbers(payload, context)
        return context.dry_run

    assert run_handler(insert_or_try, {"numbers": [1]}, engine, dry_run=True, commit=True).result is True
    assert numbers(engine) == []
    assert run_handler(insert_or_try, {"numbers": [1]}, engine).result is False
