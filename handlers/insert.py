"""The built-in handler, configured without Python: rows from payload or attachments into one table."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from config.result import ErrorDetail
from config.settings import InsertHandler
from handlers.contract import LocalAttachment, PartContext, Reject
from handlers.file_load import Form, LoadTarget, load_file
from handlers.inserted import Inserted
from handlers.rejected_rows import RejectedRows
from handlers.row_faults import RowFaults
from handlers.row_model import RowModel
from handlers.rows import decoded_rows
from handlers.skipped_rows import SkippedInPayload
from handlers.table_rows import DateForms, TableRow, check_configured_columns, owned_rows, table_row_model
from shards.bulk import NumberedRows, insert_rows
from shards.columns import ColumnFacts, TableCache, TableFacts
from shards.conflicts import Conflict
from shards.failures import Failure, Kind, KnownFailure

PACKED: Final = ".gz"
PAYLOAD: Final = "the payload"
FORMS: Final[Mapping[str, Form]] = MappingProxyType(
    {
        "text/csv": "csv",
        "application/csv": "csv",
        ".csv": "csv",
        "application/x-ndjson": "json",
        "application/ndjson": "json",
        "application/jsonl": "json",
        ".jsonl": "json",
        ".ndjson": "json",
    }
)
"""How an attachment is read, by its content type or, failing that, the end of its name."""


class TableChanged(KnownFailure):
    """Rows were judged by columns that the table no longer has: the transaction is run once more."""

    def __init__(self, table: str) -> None:
        super().__init__(
            Failure(
                Kind.RETRY_TRANSACTION,
                "transaction_conflict",
                f"The columns of the table {table} have changed since they were read; the part runs again.",
            )
        )


class NoKey(KnownFailure):
    """Rows are to be updated by a key that nobody named and the table does not have: a defect."""

    def __init__(self, table: str) -> None:
        super().__init__(
            Failure(
                Kind.DEFECT,
                "schema_defect",
                f"The table {table} has no primary key by which its rows could be updated; "
                "name a unique index's columns in `conflict_columns`.",
            )
        )


class InsertRows:
    """Inserts a job's rows into the configured table; called as any handler is.

    The table and its columns are the configuration's and the database's own: no name that is sent to the
    database ever comes from a job.
    """

    def __init__(self, section: InsertHandler) -> None:
        self._section = section
        self._configured = [
            *(section.columns or ()),
            *filter(None, [section.customer_column]),
            *(section.conflict_columns or ()),
        ]
        self._tables = TableCache()
        # Tables of the same form, in however many schemas, share one model.
        self._models: dict[tuple[str, tuple[ColumnFacts, ...]], RowModel[TableRow]] = {}

    def __call__(self, payload: Any, context: PartContext) -> dict[str, Any]:
        """Insert the rows and return how many; and what was left out, if the configuration lets bad rows be.

        Raises:
            Reject: the payload or an attachment has no rows, or rows do not fit the table; nothing of a chunk
                with such a row is sent.
            RowRefused: the database refused a row for good.
            sqlalchemy.exc.DBAPIError: the database's own error, also for a missing table or column.
        """
        name, schema = self._section.table, context.schema
        facts = self._tables.find(context.connection, name, schema)
        try:
            with ExitStack() as files:
                inserted = self._insert(facts, payload, context, files)
                if inserted.skipped_count and self._has_changed(facts, context):
                    raise TableChanged(name)
                result = inserted.result()
                if inserted.skipped_count:
                    context.log.info("rows.left_out", count=inserted.skipped_count)
                return result
        except Reject:
            if self._has_changed(facts, context):
                raise TableChanged(name) from None
            raise
        except SQLAlchemyError:
            self._tables.forget(context.connection, name, schema)
            raise

    def _has_changed(self, facts: TableFacts, context: PartContext) -> bool:
        return self._tables.reload(context.connection, self._section.table, context.schema) != facts

    def _insert(self, facts: TableFacts, payload: Any, context: PartContext, files: ExitStack) -> Inserted:
        model = self._row_model(facts, context)
        target = LoadTarget(facts, self._conflict(facts))
        if self._section.source == "attachments":
            inserted = self._insert_attachments(target, model, context, files)
        else:
            inserted = self._insert_payload(target, model, self._rows_of(payload), context)
        if target.conflict is not None:
            inserted.ignore(target.conflict.ignored(context.connection.dialect.name))
        return inserted

    def _insert_payload(
        self, target: LoadTarget, model: RowModel[TableRow], items: list[Any], context: PartContext
    ) -> Inserted:
        section = self._section
        faults = SkippedInPayload(PAYLOAD, section.bad_rows_maximum) if self._skips else RowFaults(PAYLOAD)
        count = insert_rows(
            context.connection,
            target.facts.table,
            NumberedRows(decoded_rows(items, model.from_object, faults)),
            chunk_rows=section.chunk_rows,
            conflict=target.conflict,
            note_refused=faults.note_refused,
        )
        inserted = Inserted()
        inserted.add(count, faults)
        return inserted

    def _insert_attachments(
        self, target: LoadTarget, model: RowModel[TableRow], context: PartContext, files: ExitStack
    ) -> Inserted:
        if not context.attachments:
            raise Reject(
                "invalid_payload", "The job has no attachment: its rows are expected in attachments."
            )
        forms = [_form(attachment) for attachment in context.attachments.values()]
        inserted = Inserted()
        for form, attachment in zip(forms, context.attachments.values(), strict=True):
            faults = self._faults(context, attachment, files)
            count = load_file(context, target, model, form, attachment, self._section, faults)
            inserted.add(count, faults)
        return inserted

    @property
    def _skips(self) -> bool:
        return self._section.on_bad_row == "skip"

    def _faults(self, context: PartContext, attachment: LocalAttachment, files: ExitStack) -> RowFaults:
        if self._skips:
            return RejectedRows(context, attachment, self._section, files)
        return RowFaults(f"the attachment {attachment.name!r}")

    def _conflict(self, facts: TableFacts) -> Conflict | None:
        section = self._section
        if section.conflict == "error":
            return None
        if section.conflict == "ignore":
            return Conflict("ignore")
        key = tuple(section.conflict_columns or facts.key)
        if not key:
            raise NoKey(section.table)
        return Conflict("update", key, section.customer_column)

    def _rows_of(self, payload: Any) -> list[Any]:
        key = self._section.rows_key
        rows = payload.get(key) if isinstance(payload, dict) else None
        if not isinstance(rows, list):
            raise Reject(
                "invalid_payload",
                f"The payload has no rows: expected an object with a list of objects under {key!r}.",
                [ErrorDetail(column=f"$.{key}", rule="expected a list of objects")],
            )
        return rows

    def _row_model(self, facts: TableFacts, context: PartContext) -> RowModel[TableRow]:
        section, dialect = self._section, context.connection.dialect.name
        model = self._models.get((dialect, facts.columns))
        if model is None:
            forms = DateForms(section.date_form, section.datetime_form)
            check_configured_columns(context.connection, facts, self._configured)
            model = table_row_model(facts, dialect, section.columns, section.customer_column, forms)
            self._models[dialect, facts.columns] = model
        if section.customer_column is None:
            return model
        return owned_rows(model, section.customer_column, context.customer_id)


def _form(attachment: LocalAttachment) -> Form:
    content_type = (attachment.content_type or "").partition(";")[0].strip().lower()
    suffix = PurePath(attachment.name.lower().removesuffix(PACKED)).suffix
    for kind in (content_type, suffix):
        if kind in FORMS:
            return FORMS[kind]
    raise Reject(
        "invalid_rows",
        f"The attachment {attachment.name!r} is neither CSV nor JSON Lines: expected the content type "
        "text/csv or application/x-ndjson, or a name that ends in .csv, .jsonl or .ndjson, perhaps with .gz.",
    )
