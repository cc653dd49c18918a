"""The contract for handlers' authors: `handles`, `Reject`, `Retry` and the context of a handler's call."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Protocol, TypeVar

from sqlalchemy import Connection, FromClause
from sqlalchemy.orm import Session

from config.job import Job
from config.result import CODE_CHARACTERS_MAXIMUM, DETAILS_MAXIMUM, MESSAGE_CHARACTERS_MAXIMUM, ErrorDetail
from config.stamps import NO_STAMPS, Stamps
from handlers.beside import FileBeside, OpenBeside, check_name, open_nowhere, open_unkept
from shards.bulk import CHUNK_ROWS, insert_rows
from shards.directory import Placement
from shards.guard import PartConnection

MARKS_ATTRIBUTE: Final = "__shardworker_handles__"

Function = TypeVar("Function", bound=Callable[..., Any])


class HandlesMark(NamedTuple):
    """What `handles` wrote on a function: the job type and the model of its payload."""

    job_type: str
    model: Any


def handles(job_type: str, model: Any = Any) -> Callable[[Function], Function]:
    """Mark a function as the handler of a job type. The function itself stays as it is.

    The function takes the decoded payload and a `PartContext` and returns any value that JSON can carry, at
    most 64 KiB of it. One function may be marked for several types.

    Args:
        job_type: The job's `type`.
        model: What the payload is decoded to before the call: a msgspec Struct, a dataclass, a TypedDict, a
            pydantic model, any other type that msgspec knows (`dict`, `list[Order]`), or `Any` for the
            payload as it is.
    """

    def mark(function: Function) -> Function:
        marks = (*marks_of(function), HandlesMark(job_type, model))
        setattr(function, MARKS_ATTRIBUTE, marks)
        return function

    return mark


def marks_of(value: object) -> tuple[HandlesMark, ...]:
    """The marks that `handles` left on a value; none on anything that is no handler."""
    marks = getattr(value, "__dict__", {}).get(MARKS_ATTRIBUTE, ())
    return tuple(marks)


def _all_are(kind: type, values: Iterable[Any]) -> bool:
    return all(isinstance(value, kind) for value in values)


class Reject(Exception):
    """The part cannot be done, now or later: it fails at once, nothing of it stays, and the partner is told.

    `code` is one of the documented codes or the handler's own, 1 to 64 characters. `message` and `details`
    name columns and rules, never a value; a message is cut at 1,000 characters, details at 100.

    Raises:
        TypeError, ValueError: a result could not carry it; that is an error of the handler's like any other.
    """

    def __init__(self, code: str, message: str, details: Iterable[ErrorDetail] = ()) -> None:
        super().__init__(message)
        if not 1 <= len(code) <= CODE_CHARACTERS_MAXIMUM:
            raise ValueError(
                f"A Reject's code has 1 to {CODE_CHARACTERS_MAXIMUM} characters; this one has {len(code)}."
            )
        self.code = code
        self.message = message[:MESSAGE_CHARACTERS_MAXIMUM]
        self.details = tuple(islice(details, DETAILS_MAXIMUM))
        if not (_all_are(str, [message]) and _all_are(ErrorDetail, self.details)):
            raise TypeError("A Reject has a text as its message and ErrorDetail objects as its details.")


class Retry(Exception):
    """The part cannot be done now: it is rolled back, counted as an attempt and tried again.

    `after` asks for a delay before the next try; without it the worker's own back-off decides. Raises
    `TypeError` for a delay that is no `timedelta`.
    """

    def __init__(self, message: str = "", after: timedelta | None = None) -> None:
        super().__init__(message)
        if not isinstance(after, timedelta | None):
            raise TypeError(f"A Retry's delay is a timedelta; this one is of type {type(after).__name__}.")
        self.message = message[:MESSAGE_CHARACTERS_MAXIMUM]
        self.after = after


@dataclass(frozen=True, slots=True)
class LocalAttachment:
    """An attachment on local disk, its size and SHA-256 verified. The worker removes it after the job."""

    name: str
    path: Path = field(repr=False)
    size: int
    sha256: str
    content_type: str | None = None

    def open(self) -> BinaryIO:
        """The stored bytes, from their beginning; close it, best with `with`."""
        return self.path.open("rb")


class Logger(Protocol):
    """The part of structlog's logger that a handler uses: an event's name and fields by keyword."""

    def debug(self, event: str, /, **fields: Any) -> Any:
        """Log what helps only while looking for a mistake."""

    def info(self, event: str, /, **fields: Any) -> Any:
        """Log what an operator may want to know."""

    def warning(self, event: str, /, **fields: Any) -> Any:
        """Log what an operator should look at."""

    def error(self, event: str, /, **fields: Any) -> Any:
        """Log what went wrong."""


def _report_nothing(_done: int, _total: int | None) -> None:
    """Where nobody asked for a part's progress."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PartContext:
    """What a handler is called with beside its payload: one part's transaction, and the facts of the job.

    Only what goes through `connection`, `session()` or `bulk_insert()` is exactly once; a handler may run
    more than once. The handler neither commits nor rolls back `connection`: the worker does, with the
    outcome.

    `lease_lost` is set when another worker may have got the same message: the part's commit still decides who
    was first, so a handler needs to look at it only to stop early.
    """

    connection: Connection = field(repr=False)
    job: Job = field(repr=False)
    job_type: str
    customer_id: str
    placement: Placement
    attachments: Mapping[str, LocalAttachment] = field(repr=False)
    log: Logger = field(repr=False)
    lease_lost: threading.Event = field(repr=False)
    report_progress: Callable[[int, int | None], None] = field(default=_report_nothing, repr=False)
    clock: Callable[[], float] = field(repr=False)
    deadline: float = field(repr=False)
    """When the part's time is up, in seconds of `clock`."""
    stamps: Stamps = field(default=NO_STAMPS, repr=False)
    """What Symfony put on the message; empty where its sender was another."""
    open_beside: OpenBeside = field(default=open_nowhere, repr=False)

    @property
    def schema(self) -> str | None:
        """The customer's schema on its shard; `None` where the shard's default schema is the customer's."""
        return self.placement.schema

    @property
    def dry_run(self) -> bool:
        """Whether the job only asks what would happen: what is written here is rolled back after the call.

        A handler has to look at it before it does anything outside the transaction.
        """
        return self.job.dry_run

    @contextmanager
    def session(self) -> Iterator[Session]:
        """An ORM session inside the part's transaction; what it holds is written when the block ends well.

        Its `commit()` only flushes, its `rollback()` takes back only what it wrote since it began or last
        committed: the transaction itself stays the worker's.
        """
        with Session(bind=self.connection, join_transaction_mode="create_savepoint") as session:
            yield session
            session.commit()

    def bulk_insert(self, table: FromClause, rows: Iterable[Any], *, chunk_rows: int = CHUNK_ROWS) -> int:
        """Insert rows in chunks and return how many; `rows` may be a generator: memory stays bounded.

        Args:
            table: The table, as SQLAlchemy's Core knows it (of a mapped class: `Order.__table__`).
            rows: Mappings from column to value, or Structs, dataclasses or pydantic models with such fields.
            chunk_rows: How many rows go to the database at once.

        Raises:
            RowRefused: the database refused a row for good. Let it pass: the part fails with the constraint's
                code, the row's number (1 is the first) and the column, where the database tells it.
        """
        return insert_rows(self.connection, table, rows, chunk_rows=chunk_rows)

    def file_beside(self, attachment: str, name: str) -> AbstractContextManager[FileBeside]:
        """A file for the partner, beside an attachment of the part: written on local disk, then `put`.

        What is put stays, whatever becomes of the transaction: name it in what the handler returns, so that
        it counts only with the part. It is stored under its content's own digest, so that no other run of the
        part can put another content in its place. In a dry run nothing is stored.

        Args:
            attachment: The attachment's name.
            name: The end of the file's name, such as `rejected.csv`.

        Raises:
            KeyError: the part has no such attachment.
            ValueError: a file cannot have that name.
            KnownFailure: the store or the disk cannot take it now; let it pass: the part is run again later,
                and no attempt is counted.
        """
        check_name(name)
        if attachment not in self.attachments:
            raise KeyError(attachment)
        if isinstance(self.connection, PartConnection) and self.connection.is_lent:
            raise self.connection.refuse("A file beside an attachment")
        return open_unkept(attachment, name) if self.dry_run else self.open_beside(attachment, name)

    def progress(self, done: int, total: int | None = None) -> None:
        """Tell how far the part is; cheap enough to call for each chunk."""
        self.report_progress(done, total)

    def time_left(self) -> timedelta:
        """How long the part may still run before its lease or its type's timeout ends it; never negative."""
        return timedelta(seconds=max(0.0, self.deadline - self.clock()))
