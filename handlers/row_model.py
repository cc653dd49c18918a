"""The model of one row: its fields, and decoding a row from CSV's texts, from JSON or from an object."""

import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final, Generic, NotRequired, Required, TypeVar

import msgspec
from msgspec import inspect

from config.result import ErrorDetail
from handlers.faults import can_be_told, msgspec_fault

Row = TypeVar("Row")
Value = TypeVar("Value")

NUL: Final = "\0"
UNKNOWN_COLUMN: Final = "unknown column"
MISSING_COLUMN: Final = "missing required column"
UNREADABLE: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
BUILDING: Final = Lock()
DECIMAL: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)


class BadRow(Exception):
    """A row does not fit its model; `faults` say where, without the row's number, and `code` what it is."""

    def __init__(self, faults: Iterable[ErrorDetail], code: str = "invalid_rows") -> None:
        super().__init__("The row does not fit its model.")
        self.faults = list(faults)
        self.code = code


@dataclass(frozen=True, slots=True)
class RowField:
    """One field of a row.

    `read_text` makes of a CSV field what `type` is decoded from, `finish` makes of the decoded value what the
    row holds (only where rows are dicts). Both raise `ValueError` with the rule that the value breaks.
    """

    name: str
    type: Any
    required: bool
    nullable: bool
    read_text: Callable[[str], Any] | None = None
    finish: Callable[[Any], Any] | None = None
    has_default: bool = False
    """Whether the database has a value of its own for a row that leaves the field out."""
    is_configured: bool = False
    """Whether the configuration says how its texts are written."""


class RowModel(Generic[Row]):
    """What rows are decoded to, and what is wrong with those that do not fit.

    Args:
        row_type: The type that msgspec decodes a row to.
        fields: Its fields; a row with any other is refused.
    """

    def __init__(self, row_type: type[Row], fields: Iterable[RowField]) -> None:
        self.fields = {field.name: field for field in fields}
        self._row_type = row_type
        self._from_json = msgspec.json.Decoder(row_type)
        self._raw_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
        self._required = frozenset(field.name for field in self.fields.values() if field.required)
        self._finish_row: Callable[[Row], Row] | None = None
        self.owner: tuple[str, Any] | None = None
        """The field that holds the customer, and the one value that it may have."""
        self._finishing = [(field.name, field.finish) for field in self.fields.values() if field.finish]

    def owned_by(self, owner: tuple[str, Any], finish_row: Callable[[Row], Row]) -> "RowModel[Row]":
        """The same model, each of its rows finished by this function, which raises `BadRow` for a bad one.

        It gives each row its owner.
        """
        model = copy(self)
        model.owner = owner
        model._finish_row = finish_row  # noqa: SLF001 - the copy is this class's own
        return model

    def columns(self, header: Sequence[str]) -> list[RowField]:
        """The fields that a CSV header names, in its order; raises `BadRow` where they do not fit."""
        unknown = [name for name in header if name not in self.fields]
        if len(unknown) == len(header):
            # The file may have no header: its first line would be values.
            rule = "the first line is no header: none of its names is known"
            raise BadRow([ErrorDetail(rule=rule)], "no_header")
        repeated = {name for name in header if name in self.fields and header.count(name) > 1}
        faults = {
            "unknown_columns": [ErrorDetail(column=_told(name), rule=UNKNOWN_COLUMN) for name in unknown],
            "repeated_columns": [
                ErrorDetail(column=name, rule="repeated column") for name in sorted(repeated)
            ],
            "missing_columns": [
                ErrorDetail(column=name, rule=MISSING_COLUMN) for name in sorted(self._required - set(header))
            ],
        }
        if code := next((code for code, places in faults.items() if places), None):
            raise BadRow([place for places in faults.values() for place in places], code)
        return [self.fields[name] for name in header]

    def from_texts(self, columns: Sequence[RowField], texts: Sequence[str]) -> Row:
        """The row in a CSV record whose fields stand in the order of `columns`; raises `BadRow`.

        An empty text is None where the field takes None.
        """
        if len(texts) != len(columns):
            rule = f"expected {len(columns)} columns, found {len(texts)}"
            raise BadRow([ErrorDetail(rule=rule)], "column_count")
        if NUL in "".join(texts):
            with_nul = [column.name for column, text in zip(columns, texts, strict=True) if NUL in text]
            raise BadRow([ErrorDetail(column=name, rule="NUL byte") for name in with_nul], "nul_bytes")
        try:
            values = {
                column.name: _read_text(column, text) for column, text in zip(columns, texts, strict=True)
            }
            return self._finished(msgspec.convert(values, self._row_type, strict=False))
        except (msgspec.ValidationError, ValueError) as error:
            whole = error
        cells = {column.name: text for column, text in zip(columns, texts, strict=True)}
        raise BadRow(self._faults(cells, _convert_text, whole))

    def from_json(self, line: bytes) -> Row:
        """The row in a line of JSON Lines; raises `BadRow`."""
        if b"\0" in line:
            raise BadRow([ErrorDetail(rule="NUL byte")], "nul_bytes")
        try:
            raw = self._raw_fields.decode(line)
        except UNREADABLE as error:
            rule = "expected a JSON object" if isinstance(error, msgspec.ValidationError) else "not JSON"
            raise BadRow([ErrorDetail(rule=rule)]) from None
        whole: Exception = ValueError(UNKNOWN_COLUMN)
        try:
            if raw.keys() <= self.fields.keys():
                return self._finished(self._decoded(line, raw))
        except (*UNREADABLE, ValueError) as error:
            whole = error
        raise BadRow(self._faults(raw, _convert_raw, whole))

    def from_object(self, value: Any) -> Row:
        """The row in a value that JSON gave; raises `BadRow`."""
        if not isinstance(value, dict):
            raise BadRow([ErrorDetail(rule="expected an object")])
        whole: Exception = ValueError(UNKNOWN_COLUMN)
        try:
            if value.keys() <= self.fields.keys():
                return self._finished(msgspec.convert(value, self._row_type))
        except (msgspec.ValidationError, RecursionError, ValueError) as error:
            whole = error
        raise BadRow(self._faults(value, _convert_value, whole))

    def _decoded(self, line: bytes, raw: Mapping[str, msgspec.Raw]) -> Row:
        try:
            return self._from_json.decode(line)
        except UNREADABLE:
            # of a name that comes twice the last value counts, whatever the first one is
            return self._from_json.decode(msgspec.json.encode(raw))

    def _finished(self, row: Row) -> Row:
        values: Any = row
        for name, finish in self._finishing:
            value = values.get(name)
            if value is not None:
                values[name] = finish(value)
        return row if self._finish_row is None else self._finish_row(row)

    def _faults(
        self, values: Mapping[str, Value], convert: Callable[[RowField, Value], Any], whole: Exception
    ) -> list[ErrorDetail]:
        """All faults of a row, field by field; or `whole`, the row's own, if no single field has one."""
        faults = [
            ErrorDetail(column=_told(name), rule=UNKNOWN_COLUMN) for name in values if name not in self.fields
        ]
        faults += [
            ErrorDetail(column=name, rule=MISSING_COLUMN) for name in sorted(self._required - values.keys())
        ]
        for name, field in self.fields.items():
            fault = _field_fault(field, values[name], convert) if name in values else None
            if fault is not None:
                faults.append(fault)
        return faults or [ErrorDetail(rule=msgspec_fault(whole).rule)]


def row_model(model: type[Row]) -> RowModel[Row]:
    """The row model of a Struct, a dataclass or a TypedDict; raises `TypeError` for anything else."""
    # at a model's first use; another thread would use what this one is still building of it, and crash
    with BUILDING:
        info = inspect.type_info(model)
    if not isinstance(info, inspect.StructType | inspect.DataclassType | inspect.TypedDictType) or getattr(
        info, "array_like", False
    ):
        raise TypeError(
            f"Rows cannot be decoded to {model!r}: expected a msgspec Struct, a dataclass or a TypedDict."
        )
    hints = typing.get_type_hints(model, include_extras=True)
    return RowModel(model, [_model_field(field, hints[field.name]) for field in info.fields])


def text_reader(types: Iterable[inspect.Type]) -> Callable[[str], Any] | None:
    """What must look at a CSV text of these types before msgspec does, which takes too much for them."""
    if any(isinstance(type_, inspect.DateTimeType) for type_ in types):
        return _datetime_text
    if any(isinstance(type_, inspect.DecimalType) for type_ in types):
        return _decimal_text
    return None


def _model_field(field: inspect.Field, hint: Any) -> RowField:
    if typing.get_origin(hint) in {Required, NotRequired}:
        hint = typing.get_args(hint)[0]
    types = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
    return RowField(
        name=field.encode_name,
        type=hint,
        required=field.required,
        nullable=any(isinstance(type_, inspect.NoneType | inspect.AnyType) for type_ in types),
        read_text=text_reader(types),
    )


def _read_text(field: RowField, text: str) -> Any:
    if not text and field.nullable:
        return None
    return text if field.read_text is None else field.read_text(text)


def _datetime_text(text: str) -> str:
    # A bare number would be taken for seconds since 1970, `20261121` too.
    if text[4:5] != "-":
        raise ValueError("expected datetime")
    return text


def _decimal_text(text: str) -> str:
    # Python's decimals take underscores, spaces, other scripts' digits and NaN.
    if DECIMAL.fullmatch(text) is None:
        raise ValueError("expected decimal")
    return text


def _field_fault(
    field: RowField, value: Value, convert: Callable[[RowField, Value], Any]
) -> ErrorDetail | None:
    try:
        converted = convert(field, value)
        if field.finish is not None and converted is not None:
            field.finish(converted)
    except UnicodeDecodeError:
        return ErrorDetail(column=field.name, rule="not UTF-8")
    except (msgspec.DecodeError, RecursionError) as error:
        fault = msgspec_fault(error)
        return ErrorDetail(column=f"{field.name}{(fault.column or '$')[1:]}", rule=fault.rule)
    except ValueError as error:
        return ErrorDetail(column=field.name, rule=str(error))
    return None


def _convert_text(field: RowField, text: str) -> Any:
    try:
        return msgspec.convert(_read_text(field, text), field.type, strict=False)
    except msgspec.ValidationError as error:
        rule = (msgspec_fault(error).rule or "").partition(", got ")[0].removesuffix(" | null")
        raise ValueError(rule) from None


def _convert_raw(field: RowField, value: msgspec.Raw) -> Any:
    return msgspec.json.decode(value, type=field.type)


def _convert_value(field: RowField, value: Any) -> Any:
    return msgspec.convert(value, field.type)


def _told(name: str) -> str:
    return name if can_be_told(name) else "(a name that is none)"
