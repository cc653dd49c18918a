"""What lines surely mean the same to pyarrow as to the slow way: patterns of whole blocks, as RE2 reads them.

A block that fits its pattern has no line, quote, escape or number that readers understand differently. The
pattern sees bytes, not characters.
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from handlers.block_arrays import ArrayColumn
from shards.column_texts import Kind
from shards.text_patterns import ZONE

JSON_TEXT: Final = r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u0{0,3}[1-9a-fA-F]))*"'
"""Any text but one with a NUL; pyarrow itself refuses what is no escape, and half of a pair of surrogates."""
JSON_SPACE: Final = r"[ \t]*"
DAY: Final = "[0-9]+-[0-9]+-[0-9]+"
CLOCK: Final = r"[0-9]+:[0-9]+:[0-9]+(?:\.[0-9]+)?"
PATTERNS: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        "integer": "-?(?:0|[1-9][0-9]*)",
        "decimal": r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?",
        "date": DAY,
        "datetime": f"{DAY}[T ]{CLOCK}",
        "zoned": f"{DAY}[T ]{CLOCK}{ZONE}",
    }
)
"""What pyarrow would also take in other forms; how large a number is, and how many digits, it judges itself.

A pattern is made ready for each block, so that its length counts.
"""
BARE: Final[Mapping[Kind, str]] = MappingProxyType(
    {"integer": "{}", "float": "{}", "boolean": "true|false", "decimal": '"?{}"?'}
)
"""How JSON has a value of some kind where it is no text."""


def csv_pattern(columns: Iterable[ArrayColumn], separator: str) -> str:
    """The pattern of records, each with a newline behind it, whose quotes all stand where they should."""
    mark = f"\\x{ord(separator):02x}"
    record = mark.join(_csv_field(column, mark) for column in columns)
    return rf"\A(?:{record}\r?\n)*\z"


def json_pattern(columns: Iterable[ArrayColumn]) -> str:
    """The pattern of objects with these columns in this order, each with a newline behind it."""
    pairs = f"{JSON_SPACE},{JSON_SPACE}".join(map(_json_pair, columns))
    return rf"\A(?:\{{{JSON_SPACE}{pairs}{JSON_SPACE}\}}\r?\n)*\z"


def _csv_field(column: ArrayColumn, mark: str) -> str:
    if column.rule.kind == "text":
        return rf'(?:[^"{mark}\r\n\x00]*|"(?:[^"\x00]|"")*")'
    # a quote without its other one would make pyarrow find no value of this type
    return f'"?(?:{_value(column)}){"?" if column.field.nullable else ""}"?'


def _json_pair(column: ArrayColumn) -> str:
    name = re.escape(msgspec.json.encode(column.field.name).decode())
    null = "|null" if column.field.nullable else ""
    return f"{name}{JSON_SPACE}:{JSON_SPACE}(?:{_json_value(column)}{null})"


def _json_value(column: ArrayColumn) -> str:
    if column.rule.kind == "text":
        return JSON_TEXT
    return BARE.get(column.rule.kind, '"{}"').format(_value(column))


def _value(column: ArrayColumn) -> str:
    return PATTERNS.get(column.rule.kind) or column.rule.pattern or ""
