"""The row model of a table: which columns a job's rows may and must fill, and with which values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NotRequired, Required, TypedDict

import msgspec
from sqlalchemy import Connection, types
from sqlalchemy.types import TypeEngine

from config.result import ErrorDetail
from handlers.row_model import BadRow, RowField, RowModel, text_reader
from shards.column_values import column_value
from shards.columns import ColumnFacts, TableFacts, require_columns
from shards.failures import Failure, Kind, KnownFailure

TableRow = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DateForms:
    """How the texts of dates, and of dates with times, are written; `None` for ISO 8601."""

    date: str | None = None
    datetime: str | None = None


def table_row_model(
    facts: TableFacts,
    dialect: str,
    allowed: Sequence[str] | None,
    filled: str | None = None,
    forms: DateForms = DateForms(),
) -> RowModel[TableRow]:
    """What rows for a table are decoded to: dicts of the columns that a row gives.

    Args:
        facts: The table's columns, as its database tells them.
        dialect: The database's dialect.
        allowed: The columns that rows may give; `None` for all.
        filled: A column that rows may leave out, because the handler fills it.
        forms: How CSV's texts of dates are written.
    """
    fields = [
        _row_field(column, dialect, forms, required=not column.optional and column.name != filled)
        for column in facts.columns
        if allowed is None or column.name in allowed or column.name == filled
    ]
    keys = {
        field.name: Required[field.type] if field.required else NotRequired[field.type] for field in fields
    }
    # Only a TypedDict leaves out what a row leaves out, so that the database's own defaults count.
    typed_dict: Any = TypedDict
    return RowModel(typed_dict("TableRow", keys), fields)


def owned_rows(model: RowModel[TableRow], column: str, customer_id: str) -> RowModel[TableRow]:
    """The same rows, all with the customer's id in this column; a row that names another one does not fit.

    Raises:
        KnownFailure: a defect: no customer's id fits the column.
    """
    owner = _as_column_value(model.fields[column], customer_id)

    def finish(row: TableRow) -> TableRow:
        named = row.get(column)
        if named is not None and named != owner:
            raise BadRow([ErrorDetail(column=column, rule="another customer than the job's")])
        row[column] = owner
        return row

    return model.owned_by((column, owner), finish)


def check_configured_columns(connection: Connection, facts: TableFacts, names: Sequence[str]) -> None:
    """Raise the database's own error where the configuration names a column that the table does not have."""
    known = {column.name for column in facts.columns}
    missing = [name for name in names if name not in known]
    if missing:
        require_columns(connection, facts.table.name, facts.table.schema, missing)


def _row_field(column: ColumnFacts, dialect: str, forms: DateForms, *, required: bool) -> RowField:
    value = column_value(column.type, dialect)
    configured = _form_reader(column.type, forms)
    return RowField(
        name=column.name,
        type=value.type | None if column.nullable else value.type,
        required=required,
        nullable=column.nullable,
        read_text=configured or (_json_text if value.is_json else _text_reader(value.type)),
        is_configured=configured is not None,
        finish=value.finish,
        has_default=column.has_default,
    )


def _as_column_value(field: RowField, customer_id: str) -> Any:
    try:
        return msgspec.convert(customer_id, field.type, strict=False)
    except msgspec.ValidationError:
        raise KnownFailure(
            Failure(
                Kind.DEFECT,
                "schema_defect",
                f"The customer's id does not fit the column {field.name}, which `customer_column` names.",
            )
        ) from None


def _text_reader(type_: Any) -> Callable[[str], Any] | None:
    return text_reader([msgspec.inspect.type_info(type_)])


def _form_reader(type_: TypeEngine[Any], forms: DateForms) -> Callable[[str], Any] | None:
    if isinstance(type_, types.DateTime) and forms.datetime is not None:
        return partial(_moment, forms.datetime)
    if isinstance(type_, types.Date) and forms.date is not None:
        return lambda text: _moment(forms.date or "", text).date()
    return None


def _moment(form: str, text: str) -> datetime:
    try:
        return datetime.strptime(text, form)  # noqa: DTZ007 - the column says whether it must have a zone
    except ValueError:
        raise ValueError("expected a date of the configured form") from None


def _json_text(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise ValueError("expected JSON") from None
