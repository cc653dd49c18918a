"""Blocks of JSON Lines read by pyarrow, where they surely mean the same to it as to the slow way.

Pyarrow knows no lines: it reads one object after the other, and refuses those with an unknown name, a name
that comes twice, or a value of another type. What it takes, and the slow way does not, is looked for here.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from handlers.array_patterns import text_pattern
from handlers.block_arrays import (
    ArrayColumn,
    Doubtful,
    Owner,
    are_all,
    array_columns,
    as_columns,
    fits,
    owner_of,
)
from handlers.json_blocks import JsonBlock
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
NO_OBJECT: Final = r"\n[^{]"
"""A line that does not begin an object. None before it goes on behind it: objects have no objects inside."""
NUL: Final = b"\0"
DATA: Final = 2
"""The place of its texts among the buffers of an array."""
UNREAD: Final[Kind] = "time"
"""Pyarrow makes no times of texts but in CSV."""


def json_arrays(
    model: RowModel[TableRow], rules: Mapping[str, TextRule], *, updates: bool = False
) -> ReadJson | None:
    """What makes arrays of the file's blocks; None where the owner's column has no type of pyarrow's.

    For a block in which anything is not surely right, it gives None. With `updates`, NULL is not the same as
    no value.
    """
    try:
        return _JsonArrays(model, rules, owner_of(model, rules), updates=updates).read
    except Doubtful:
        return None


class _JsonArrays:
    def __init__(
        self,
        model: RowModel[TableRow],
        rules: Mapping[str, TextRule],
        owner: Owner | None,
        *,
        updates: bool,
    ) -> None:
        self._fields = model.fields
        self._required = {field.name for field in model.fields.values() if field.required}
        self._rules = rules
        self._owner = owner
        self._updates = updates
        self._first_line = msgspec.json.Decoder(dict[str, msgspec.Raw])
        self._known: tuple[Look, _Lines | None] = ((), None)
        """What the lines before were like; one value, since two threads make blocks ready."""

    def read(self, block: JsonBlock) -> Columns | None:
        import pyarrow as pa

        lines = self._lines_like(block.first_line)
        if lines is None:
            return None
        try:
            return lines.columns(block, self._owner)
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
        return _Lines(columns, updates=self._updates)


def _rule_of_truths(rule: TextRule) -> TextRule:
    # MariaDB's BOOLEAN is a number, which JSON has as `true` or `false` too
    return replace(rule, kind="boolean", pattern=None) if rule.has_truth_as_number else rule


class _Lines:
    """Lines of objects with these columns."""

    def __init__(self, columns: Sequence[ArrayColumn], *, updates: bool) -> None:
        import pyarrow as pa
        from pyarrow import json

        self._columns = columns
        self._updates = updates
        types = [pa.string() if column.rule.kind in CAST_FROM_TEXT else column.type for column in columns]
        names = [column.field.name for column in columns]
        self._parse = json.ParseOptions(
            explicit_schema=pa.schema(list(zip(names, types, strict=True))), unexpected_field_behavior="error"
        )

    def columns(self, block: JsonBlock, owner: Owner | None) -> Columns:
        """The lines; raises `Doubtful` or pyarrow's error where they are not surely right."""
        if not block.data.startswith(b"{") or fits(block.data, NO_OBJECT):
            raise Doubtful
        table = self._table(block.data)
        if table.num_rows != block.line_count:
            raise Doubtful  # several on one line, or none
        for column, array in zip(self._columns, table.columns, strict=True):
            array.validate(full=True)  # pyarrow takes whatever bytes stand between quotes
            if not (self._are_given(column, array, block.data) and _are_usual(column, array)):
                raise Doubtful
        return as_columns(self._columns, table, owner)

    def _table(self, data: bytes) -> Any:
        import pyarrow as pa
        from pyarrow import json

        options = json.ReadOptions(use_threads=False, block_size=len(data) + 1)
        return json.read_json(
            pa.BufferReader(data), options, self._parse, memory_pool=pa.system_memory_pool()
        )

    def _are_given(self, column: ArrayColumn, array: Any, data: bytes) -> bool:
        """Whether each line has the column, or NULL is the same as no value; else NULL is none."""
        field = column.field
        if not array.null_count or not field.nullable:
            return not array.null_count
        return not (field.has_default or self._updates) or _named(field.name, data) == len(array)


def _named(name: str, data: bytes) -> int:
    """In how many lines the name stands as names usually do."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # no text has a quote without a backslash before it
    pattern = rf"[{{, \t]{re.escape(msgspec.json.encode(name).decode())}[ \t]*:"
    count: int = pc.count_substring_regex(pa.scalar(data, pa.binary()), pattern).as_py()
    return count


def _are_usual(column: ArrayColumn, array: Any) -> bool:
    """Whether the values are written as they usually are; those that pyarrow itself does not judge."""
    import pyarrow.compute as pc

    match column.rule.kind:
        case "text":
            return not any(NUL in bytes(chunk.buffers()[DATA] or b"") for chunk in array.chunks)
        case "float":
            return are_all(pc.is_finite(array))
        case kind if kind in CAST_FROM_TEXT:
            return are_all(pc.match_substring_regex(array, text_pattern(column)))
    return True
