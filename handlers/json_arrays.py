"""Blocks of JSON Lines read by pyarrow, where they surely mean the same to it as to the slow way.

They do where all lines of a block have the same names in the same order, and values that are written in the
usual form.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from handlers.array_patterns import json_pattern
from handlers.block_arrays import ArrayColumn, Doubtful, Owner, array_columns, as_columns, fits, owner_of
from handlers.json_blocks import JsonBlock
from handlers.row_bytes import ended
from handlers.row_model import UNREADABLE, RowModel
from handlers.table_rows import TableRow
from shards.column_blocks import Columns
from shards.column_texts import Kind, TextRule

ReadJson = Callable[[JsonBlock], Columns | None]
Look = tuple[tuple[str, bool], ...]
"""The names in a line, and whether each one's value is `true` or `false`."""

CAST_FROM_TEXT: Final[frozenset[Kind]] = frozenset({"date", "datetime", "zoned"})
"""What is read as texts, and made values of its type afterwards."""
TRUTHS: Final = frozenset({b"true", b"false"})
UNREAD: Final[Kind] = "time"
"""Pyarrow makes no times of texts but in CSV."""


def json_arrays(model: RowModel[TableRow], rules: Mapping[str, TextRule]) -> ReadJson | None:
    """What makes arrays of the file's blocks; None where the owner's column has no type of pyarrow's.

    For a block in which anything is not surely right, it gives None.
    """
    try:
        return _JsonArrays(model, rules, owner_of(model, rules)).read
    except Doubtful:
        return None


class _JsonArrays:
    def __init__(self, model: RowModel[TableRow], rules: Mapping[str, TextRule], owner: Owner | None) -> None:
        self._fields = model.fields
        self._required = {field.name for field in model.fields.values() if field.required}
        self._rules = rules
        self._owner = owner
        self._first_line = msgspec.json.Decoder(dict[str, msgspec.Raw])
        self._known: tuple[Look, _Lines | None] = ((), None)
        """What the lines before were like; one value, since two threads make blocks ready."""

    def read(self, block: JsonBlock) -> Columns | None:
        import pyarrow as pa

        data = ended(block.data)
        lines = self._lines_like(data[: data.find(b"\n")])
        if lines is None:
            return None
        try:
            return lines.columns(data, self._owner)
        except (pa.ArrowException, Doubtful):
            return None

    def _lines_like(self, first: bytes) -> "_Lines | None":
        try:
            line = self._first_line.decode(first)
        except UNREADABLE:
            return None
        look = tuple((name, bytes(value) in TRUTHS) for name, value in line.items())
        known, lines = self._known
        if look != known:
            lines = self._lines_of(dict(look))
            self._known = look, lines
        return lines

    def _lines_of(self, look: Mapping[str, bool]) -> "_Lines | None":
        if not self._required <= look.keys() <= self._fields.keys():
            return None
        rules = {
            name: _rule_of_truths(rule) if look.get(name) else rule for name, rule in self._rules.items()
        }
        columns = array_columns([self._fields[name] for name in look], rules)
        if not columns or any(column.rule.kind == UNREAD for column in columns):
            return None
        return _Lines(columns)


def _rule_of_truths(rule: TextRule) -> TextRule:
    # MariaDB's BOOLEAN is a number, which JSON has as `true` or `false` too
    return replace(rule, kind="boolean", pattern=None) if rule.has_truth_as_number else rule


class _Lines:
    """Lines of objects with these columns in this order."""

    def __init__(self, columns: Sequence[ArrayColumn]) -> None:
        import pyarrow as pa
        from pyarrow import json

        self._columns = columns
        self._pattern = json_pattern(columns)
        types = [pa.string() if column.rule.kind in CAST_FROM_TEXT else column.type for column in columns]
        names = [column.field.name for column in columns]
        self._parse = json.ParseOptions(
            explicit_schema=pa.schema(list(zip(names, types, strict=True))), unexpected_field_behavior="error"
        )

    def columns(self, data: bytes, owner: Owner | None) -> Columns | None:
        """The lines; raises `Doubtful` or pyarrow's error where they are not surely right."""
        if not fits(data, self._pattern):
            return None
        table = self._table(data)
        for column in table.columns:
            column.validate(full=True)  # pyarrow takes whatever bytes stand between quotes
        return as_columns(self._columns, table, owner)

    def _table(self, data: bytes) -> Any:
        import pyarrow as pa
        from pyarrow import json

        options = json.ReadOptions(use_threads=False, block_size=len(data) + 1)
        return json.read_json(
            pa.BufferReader(data), options, self._parse, memory_pool=pa.system_memory_pool()
        )
