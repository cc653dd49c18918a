"""What surely means the same to pyarrow as to the slow way: patterns of blocks of CSV, and of texts, for RE2.

A block that fits its pattern has no line, quote or number that readers understand differently. The pattern
sees bytes, not characters.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from handlers.block_arrays import ArrayColumn
from shards.column_texts import Kind
from shards.text_patterns import ZONE

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


def csv_pattern(columns: Iterable[ArrayColumn], separator: str) -> str:
    """The pattern of records, each with a newline behind it, whose quotes all stand where they should."""
    mark = f"\\x{ord(separator):02x}"
    record = mark.join(_csv_field(column, mark) for column in columns)
    return rf"\A(?:{record}\r?\n)*\z"


def text_pattern(column: ArrayColumn) -> str:
    """The pattern of one text of the column's."""
    return rf"\A(?:{_value(column)})\z"


def _csv_field(column: ArrayColumn, mark: str) -> str:
    if column.rule.kind == "text":
        return rf'(?:[^"{mark}\r\n\x00]*|"(?:[^"\x00]|"")*")'
    # a quote without its other one would make pyarrow find no value of this type
    return f'"?(?:{_value(column)}){"?" if column.field.nullable else ""}"?'


def _value(column: ArrayColumn) -> str:
    return PATTERNS.get(column.rule.kind) or column.rule.pattern or ""
