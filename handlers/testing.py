"""The test kit for handlers' authors: one handler run against a database, without any queue."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from config.job import AttachmentReference, Job
from config.result import BadResult, CustomerResult, Error, ascii_json, error_of, failed, succeeded
from config.stamps import NO_STAMPS, Stamps
from handlers.beside import FileBeside, StoredFile
from handlers.contract import LocalAttachment, PartContext, Reject, Retry
from handlers.registry import HandlerSpec, handler_specs
from shards.directory import Placement, PlacementState
from shards.failures import Kind, KnownFailure, classify
from shards.guard import PartConnection, guarded_transaction

NO_ATTACHMENTS: Final[Mapping[str, bytes]] = MappingProxyType({})
PART_SECONDS: Final = 600.0
BUCKET: Final = "test"


@dataclass(frozen=True, slots=True)
class HandlerRun:
    """What became of one run of a handler, as a partner would be told.

    `result` is what the handler returned, after its way through JSON; `error` is `None` exactly when the run
    succeeded. `logged` holds each log call as (level, event, fields), `progress` each call as (done, total),
    `files` what was put beside attachments, by its key.
    """

    result: Any
    error: Error | None
    logged: list[tuple[str, str, dict[str, Any]]]
    progress: list[tuple[int, int | None]]
    files: dict[str, bytes]


def run_handler(  # noqa: PLR0913 - each is a fact of the part that a test may want to say
    handler: Callable[..., Any] | HandlerSpec,
    payload: Any,
    database: Engine | Connection,
    *,
    attachments: Mapping[str, bytes] = NO_ATTACHMENTS,
    customer_id: str = "c-1",
    schema: str | None = None,
    stamps: Stamps = NO_STAMPS,
    commit: bool = False,
    dry_run: bool = False,
) -> HandlerRun:
    """Run a handler once, as the worker would: decoding, one transaction, encoding of what it returns.

    What it wrote is taken back, unless `commit` is set and it succeeded. `Reject`, `Retry`, a result that is
    no JSON and the database's errors are told in the run; any other exception comes through.

    Args:
        handler: A function marked with `handles`, or a spec (`insert_spec` makes the built-in handler's).
        payload: The payload, of anything that JSON can carry.
        database: An engine, or a connection: in a transaction the handler runs in a savepoint of it.
        attachments: The attachments' bytes by name.
        customer_id: Whose part it is.
        schema: The customer's schema; on a connection of the test's own it is only told, not set.
        stamps: What Symfony put on the message.
        commit: Whether to keep what a successful run wrote.
        dry_run: Whether the job is a dry run: `context.dry_run` says so, and nothing is kept.

    Raises:
        ValueError: the function is not marked, or marked for several job types.
    """
    spec = handler if isinstance(handler, HandlerSpec) else _only_spec(handler)
    recorder = _Recorder()
    with (
        TemporaryDirectory(prefix="shardworker-handler-") as directory,
        _connected(database, schema) as connection,
    ):
        files = _write(Path(directory), attachments)
        job = msgspec.structs.replace(_job(spec, payload, customer_id, files), dry_run=dry_run)
        context = PartContext(
            connection=connection,
            job=job,
            job_type=spec.job_type,
            customer_id=customer_id,
            placement=Placement(customer_id, "test", schema, PlacementState.ACTIVE, 1),
            attachments=files,
            log=recorder,
            lease_lost=threading.Event(),
            report_progress=recorder.report_progress,
            clock=time.monotonic,
            deadline=time.monotonic() + PART_SECONDS,
            stamps=stamps,
            open_beside=recorder.open_beside,
        )
        outcome = _outcome(spec, context, keep=commit and not dry_run)
    told = msgspec.json.decode(outcome, type=CustomerResult)
    error = told.error if isinstance(told.error, Error) else None
    return HandlerRun(
        None if error else told.result, error, recorder.logged, recorder.progress, recorder.files
    )


class _File:
    """A file beside an attachment, in memory."""

    def __init__(self, stored: dict[str, bytes], key: str) -> None:
        self._stored = stored
        self._key = key
        self._written = bytearray()

    def write(self, data: bytes) -> None:
        self._written += data

    def put(self) -> StoredFile:
        data = self._stored[self._key] = bytes(self._written)
        sha256 = hashlib.sha256(data).hexdigest()
        return StoredFile(bucket=BUCKET, key=self._key, size=len(data), sha256=sha256)


class _TakeBack(Exception):
    """Ends a transaction without keeping what it wrote."""

    def __init__(self, outcome: bytes) -> None:
        super().__init__("The run is taken back.")
        self.outcome = outcome


@dataclass
class _Recorder:
    """A logger, a progress report and a store that remember."""

    logged: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    progress: list[tuple[int, int | None]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    @contextmanager
    def open_beside(self, attachment: str, name: str) -> Iterator[FileBeside]:
        yield _File(self.files, f"test/{attachment}.results/{name}")

    def report_progress(self, done: int, total: int | None) -> None:
        self.progress.append((done, total))

    def debug(self, event: str, /, **fields: Any) -> None:
        self.logged.append(("debug", event, fields))

    def info(self, event: str, /, **fields: Any) -> None:
        self.logged.append(("info", event, fields))

    def warning(self, event: str, /, **fields: Any) -> None:
        self.logged.append(("warning", event, fields))

    def error(self, event: str, /, **fields: Any) -> None:
        self.logged.append(("error", event, fields))


def _only_spec(function: Callable[..., Any]) -> HandlerSpec:
    specs = handler_specs(function)
    if len(specs) != 1:
        raise ValueError(
            f"{function!r} is marked for {len(specs)} job types: expected one `handles`. "
            "Pass one of `handler_specs(function)`."
        )
    return specs[0]


def _outcome(spec: HandlerSpec, context: PartContext, *, keep: bool) -> bytes:
    try:
        payload = spec.decode(msgspec.json.decode(ascii_json(context.job.payload)))
        with _transaction(context.connection):
            outcome = succeeded(context.customer_id, spec.call(payload, context))
            if not keep:
                raise _TakeBack(outcome)
    except _TakeBack as end:
        return end.outcome
    except (Reject, Retry, BadResult, SQLAlchemyError, KnownFailure) as error:
        return failed(context.customer_id, _error(error, context.connection.dialect.name))
    return outcome


def _error(error: Exception, dialect: str) -> Error:
    match error:
        case Reject():
            return error_of(error.code, error.message, error.details)
        case Retry():
            message = error.message or "The handler asked for another try."
            return error_of("retry_requested", message, retryable=True)
        case BadResult():
            return error_of("bad_result", str(error))
        case _:
            failure = classify(error, dialect)
            retryable = failure.kind is not Kind.PERMANENT
            return error_of(failure.code, failure.message, failure.details, retryable=retryable)


@contextmanager
def _connected(database: Engine | Connection, schema: str | None) -> Iterator[Connection]:
    if isinstance(database, Connection):
        yield database
        return
    connection = PartConnection(database)
    if schema is not None:
        connection.execution_options(schema_translate_map={None: schema})
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    if isinstance(connection, PartConnection):
        with guarded_transaction(connection):
            _begin_if_driver_waits(connection)
            yield
    elif connection.in_transaction():
        with connection.begin_nested():
            yield
    else:
        with connection.begin():
            _begin_if_driver_waits(connection)
            yield


def _begin_if_driver_waits(connection: Connection) -> None:
    # Python's sqlite3 begins with the first write: a savepoint before it would be committed when released.
    driver = connection.connection.driver_connection
    if getattr(driver, "in_transaction", True) is False:
        connection.exec_driver_sql("BEGIN")


def _job(spec: HandlerSpec, payload: Any, customer_id: str, files: Mapping[str, LocalAttachment]) -> Job:
    references = tuple(
        AttachmentReference(
            name=file.name, bucket=BUCKET, key=f"test/{file.name}", size=file.size, sha256=file.sha256
        )
        for file in files.values()
    )
    return Job(
        job_id="test",
        type=spec.job_type,
        partner_id="test",
        customers=(customer_id,),
        payload=payload,
        attachments=references,
    )


def _write(directory: Path, attachments: Mapping[str, bytes]) -> dict[str, LocalAttachment]:
    files = {}
    for number, (name, data) in enumerate(attachments.items()):
        path = directory / str(number)
        path.write_bytes(data)
        files[name] = LocalAttachment(name, path, len(data), hashlib.sha256(data).hexdigest())
    return files
