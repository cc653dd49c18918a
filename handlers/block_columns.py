"""Blocks of a file as columns for a database's loader, where all their rows are surely right."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from handlers.csv_blocks import BLOCK_BYTES, RECORD_BYTES_MAXIMUM, CsvBlock, ReadWhole
from handlers.csv_row_pattern import CsvRows, count_records
from handlers.json_blocks import JsonBlock
from handlers.row_bytes import ended
from handlers.row_files import CsvFile
from handlers.row_model import UNREADABLE, RowField, RowModel
from handlers.table_rows import TableRow
from shards.column_blocks import Columns, CsvText
from shards.column_texts import Kind, TextRule, Texts, values_as_texts
from shards.load import BlockLoader

CsvColumns = Callable[[CsvBlock], Columns | None]
JsonColumns = Callable[[JsonBlock], Columns | None]

NULL: Final = b"null"
READ_AS_TEXT: Final = frozenset({"date", "datetime", "zoned", "time", "uuid"})
"""JSON has no such values: their texts are checked as those of CSV are."""


def csv_columns(file: CsvFile[TableRow], model: RowModel[TableRow], loader: BlockLoader) -> CsvColumns | None:
    """What makes columns of the file's blocks; None where a column is of a type that only rows can have.

    For a block with a row that is not surely right, it gives None.
    """
    if any(field.name not in loader.rules or field.is_configured for field in file.columns):
        return None
    if not _can_be_owned(model, loader.rules):
        return None
    if not CsvRows.can_read(file.separator):
        return None
    rules = [loader.rules[field.name] for field in file.columns]
    texts = _CsvTexts(file, rules, model.owner)
    can_stay = loader.takes_csv and texts.can_stay
    ways = [texts.as_csv, texts.as_texts] if can_stay else [texts.as_texts]

    def read(data: bytes) -> Columns | None:
        lines = ended(data)
        return next(filter(None, (way(lines) for way in ways)), None)

    # a text for each value takes many times the room that it has in the file
    file.read_whole_by(read, RECORD_BYTES_MAXIMUM if can_stay else BLOCK_BYTES)
    return lambda block: block.columns or _read_again(block, read)


def _read_again(block: CsvBlock, read: ReadWhole) -> Columns | None:
    # the block is shorter than the lines in which something was not surely right
    return None if block.data is None else read(block.data)


def json_columns(model: RowModel[TableRow], loader: BlockLoader) -> JsonColumns | None:
    """As `csv_columns`, for JSON Lines; what columns a block has is known when it is read."""
    return _JsonTexts(model, loader).columns if _can_be_owned(model, loader.rules) else None


def _can_be_owned(model: RowModel[TableRow], rules: Mapping[str, TextRule]) -> bool:
    """Whether rows have no owner, or one whose text is surely read as it."""
    if model.owner is None:
        return True
    rule, text = rules.get(model.owner[0]), str(model.owner[1])
    return rule is not None and rule.kind != "json" and rule.checked([text]) == [text]


class _CsvTexts:
    def __init__(
        self, file: CsvFile[TableRow], rules: Sequence[TextRule], owner: tuple[str, Any] | None
    ) -> None:
        self._separator = file.separator
        self._names = tuple(field.name for field in file.columns)
        self._nullable = tuple(field.name for field in file.columns if field.nullable)
        self._counted = tuple(
            field.name for field in file.columns if field.has_default and not field.nullable
        )
        self._rules = rules
        self._rows = CsvRows(list(zip(file.columns, rules, strict=True)), file.separator)
        self._owner = owner
        self.can_stay = owner is None and self._rows.can_be_right
        """Whether lines may be loaded as they are."""

    def as_csv(self, data: bytes) -> Columns | None:
        """The lines as they are; None where they are not surely right."""
        text = _text_of(data)
        if text is None or not self._rows.are_right(text):
            return None
        csv = CsvText(data, self._separator, self._nullable, self._counted)
        return Columns(self._names, count_records(data), csv=csv)

    def as_texts(self, data: bytes) -> Columns | None:
        """The lines as columns; None where they are not surely right."""
        text = _text_of(data)
        columns = None if text is None else self._rows.columns(text)
        if not columns:
            return None
        texts: dict[str, Texts] = {}
        for name, rule, column in zip(self._names, self._rules, columns, strict=True):
            told = rule.told(column)
            if told is None:
                return None
            texts[name] = told
        return _owned(texts, len(columns[0]), self._owner)


def _text_of(data: bytes) -> str | None:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


class _JsonTexts:
    def __init__(self, model: RowModel[TableRow], loader: BlockLoader) -> None:
        self._fields = list(model.fields.values())
        self._rules = loader.rules
        self._updates = loader.updates
        self._owner = model.owner
        self._decode = msgspec.json.Decoder(self._struct()).decode

    def columns(self, block: JsonBlock) -> Columns | None:
        """The block's lines by column; None where not all are surely right."""
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
        if rule is not None and rule.kind == "decimal":
            return msgspec.Raw  # Python's numbers cost as much as all the rest, and are not needed
        if rule is not None and rule.kind in READ_AS_TEXT:
            return str | None | UnsetType if field.nullable else str | UnsetType
        return field.type | UnsetType

    def _checked(self, field: RowField, values: list[Any], *, has_gaps: bool) -> Texts | None:
        rule = self._rules.get(field.name)
        if rule is None or field.is_configured:
            return None
        if has_gaps:
            if field.required or field.has_default or self._updates:
                return None  # some rows have the database's own value there, or what is there already
            values = [None if value is UNSET else value for value in values]
        texts = _texts(values, rule.kind, nullable=field.nullable)
        return None if texts is None else rule.checked(texts)


def _texts(values: list[Any], kind: Kind, *, nullable: bool) -> Texts | None:
    if kind == "decimal":
        return _numbers(values, nullable=nullable)
    return values if kind in READ_AS_TEXT else values_as_texts(values, kind)


def _numbers(values: list[msgspec.Raw | None], *, nullable: bool) -> Texts | None:
    """The numbers as JSON has them, bare or in quotes; what is no number has a text that is none."""
    try:
        joined = b"\n".join(NULL if value is None else value for value in values).decode("ascii")
    except UnicodeDecodeError:
        return None
    texts: list[str | None] = [*joined.replace('"', "").split("\n")]
    if "null" in joined:
        if not nullable:
            return None
        bare = joined.split("\n")
        return [None if told == "null" else text for told, text in zip(bare, texts, strict=True)]
    return texts


def _owned(texts: dict[str, Texts], count: int, owner: tuple[str, Any] | None) -> Columns | None:
    """The columns, with the owner's in each row; None where a row names another owner."""
    if owner is not None:
        name, value = owner
        if not set(texts.get(name, ())) <= {str(value), None}:
            return None
        texts[name] = [str(value)] * count
    return Columns(tuple(texts), count, list(texts.values()))
