"""Blocks of a file as columns for a database's loader, where all their rows are surely right."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from handlers.csv_blocks import CsvBlock
from handlers.json_blocks import JsonBlock
from handlers.row_files import CsvFile
from handlers.row_model import UNREADABLE, RowField, RowModel
from handlers.table_rows import TableRow
from shards.column_blocks import Columns
from shards.column_texts import TextRule, Texts, values_as_texts
from shards.load import BlockLoader

CsvColumns = Callable[[CsvBlock], Columns | None]
JsonColumns = Callable[[JsonBlock], Columns | None]

READ_AS_TEXT: Final = frozenset({"date", "datetime", "zoned", "time", "uuid"})
"""JSON has no such values: their texts are checked as those of CSV are."""


def csv_columns(file: CsvFile[TableRow], model: RowModel[TableRow], loader: BlockLoader) -> CsvColumns | None:
    """What makes columns of the file's blocks; None where a column is of a type that only rows can have.

    For a block with a row that is not surely right, it gives None.
    """
    if any(field.name not in loader.rules or field.is_configured for field in file.columns):
        return None
    rules = [loader.rules[field.name] for field in file.columns]
    return _CsvTexts(file.columns, rules, model.owner).columns


def json_columns(model: RowModel[TableRow], loader: BlockLoader) -> JsonColumns:
    """As `csv_columns`, for JSON Lines; what columns a block has is known when it is read."""
    return _JsonTexts(model, loader).columns


class _CsvTexts:
    def __init__(
        self, fields: Sequence[RowField], rules: Sequence[TextRule], owner: tuple[str, Any] | None
    ) -> None:
        self._fields = list(zip(fields, rules, strict=True))
        self._owner = owner

    def columns(self, block: CsvBlock) -> Columns | None:
        cells = list(filter(None, block.cells() or ()))
        if not cells or set(map(len, cells)) != {len(self._fields)}:
            return None
        texts: dict[str, Texts] = {}
        for (field, rule), column in zip(self._fields, zip(*cells, strict=True), strict=True):
            present: Texts = [text or None for text in column] if field.nullable and "" in column else column
            checked = rule.checked(present)
            if checked is None:
                return None
            texts[field.name] = checked
        return _owned(texts, len(cells), self._owner)


class _JsonTexts:
    def __init__(self, model: RowModel[TableRow], loader: BlockLoader) -> None:
        self._fields = list(model.fields.values())
        self._rules = loader.rules
        self._owner = model.owner
        self._decode = msgspec.json.Decoder(self._struct()).decode

    def columns(self, block: JsonBlock) -> Columns | None:
        try:
            rows = list(map(self._decode, filter(None, block.data.split(b"\n"))))
        except UNREADABLE:
            return None
        texts: dict[str, Texts] = {}
        for place, field in enumerate(self._fields):
            values = list(map(attrgetter(f"c{place}"), rows))
            # by type: to compare a decimal with anything costs more than all the rest
            found = set(map(type, values))
            if found == {UnsetType} and not field.required:
                continue
            checked = self._checked(field, values, has_gaps=UnsetType in found)
            if checked is None:
                return None
            texts[field.name] = checked
        return _owned(texts, len(rows), self._owner) if texts else None

    def _struct(self) -> type[msgspec.Struct]:
        # names of columns need not be names in Python
        places = [(f"c{place}", self._type(field), UNSET) for place, field in enumerate(self._fields)]
        names = {f"c{place}": field.name for place, field in enumerate(self._fields)}
        return msgspec.defstruct("Line", places, rename=names, forbid_unknown_fields=True, gc=False)

    def _type(self, field: RowField) -> Any:
        rule = self._rules.get(field.name)
        if rule is not None and rule.kind in READ_AS_TEXT:
            return str | None | UnsetType if field.nullable else str | UnsetType
        return field.type | UnsetType

    def _checked(self, field: RowField, values: list[Any], *, has_gaps: bool) -> Texts | None:
        rule = self._rules.get(field.name)
        if rule is None or field.is_configured:
            return None
        if has_gaps:
            if field.required or field.has_default:
                return None  # some rows have the database's own value there
            values = [None if value is UNSET else value for value in values]
        texts = values if rule.kind in READ_AS_TEXT else values_as_texts(values, rule.kind)
        return None if texts is None else rule.checked(texts)


def _owned(texts: dict[str, Texts], count: int, owner: tuple[str, Any] | None) -> Columns | None:
    """The columns, with the owner's in each row; None where a row names another owner."""
    if owner is not None:
        name, value = owner
        if not set(texts.get(name, ())) <= {str(value), None}:
            return None
        texts[name] = [str(value)] * count
    return Columns(tuple(texts), count, list(texts.values()))
