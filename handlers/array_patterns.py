"""What lines surely mean the same to pyarrow as to the slow way: patterns of whole blocks, as RE2 reads them.

A block that fits its pattern has no line, quote, escape or number that readers understand differently. The
pattern sees bytes, not characters.
"""

import re
from collections.abc import Iterable
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.block_arrays import ArrayColumn
    from shards.column_texts import Kind

HEX: Final = "[0-9a-fA-F]"
JSON_ESCAPE: Final = (
    rf'\\(?:["\\/bfnrt]|u(?:[1-9a-cA-CeEfF]{HEX}{{3}}|[dD][0-7]{HEX}{{2}}'
    # no NUL, and no half of a pair of surrogates
    rf"|0[1-9a-fA-F]{HEX}{{2}}|00[1-9a-fA-F]{HEX}|000[1-9a-fA-F]"
    rf"|[dD][89abAB]{HEX}{{2}}\\u[dD][c-fC-F]{HEX}{{2}}))"
)
JSON_TEXT: Final = rf'"(?:[^"\\\x00-\x1f]|{JSON_ESCAPE})*"'
JSON_SPACE: Final = r"[ \t]*"
JSON_FORMS: "Final[Mapping[Kind, str]]" = MappingProxyType(
    {"integer": "{0}", "float": "{0}", "boolean": "true|false", "decimal": '{0}|"(?:{0})"'}
)
"""How a value of some kind is written, where it is not a text of its pattern."""


def csv_pattern(columns: "Iterable[ArrayColumn]", separator: str) -> str:
    """The pattern of records, each with a newline behind it, whose quotes all stand where they should."""
    mark = f"\\x{ord(separator):02x}"
    record = mark.join(_csv_field(column, mark) for column in columns)
    return rf"\A(?:{record}\r?\n)*\z"


def json_pattern(columns: "Iterable[ArrayColumn]") -> str:
    """The pattern of objects with these columns in this order, each with a newline behind it."""
    pairs = f"{JSON_SPACE},{JSON_SPACE}".join(map(_json_pair, columns))
    return rf"\A(?:\{{{JSON_SPACE}{pairs}{JSON_SPACE}\}}\r?\n)*\z"


def _csv_field(column: "ArrayColumn", mark: str) -> str:
    pattern = column.rule.pattern
    if column.rule.kind == "text" or pattern is None:
        return rf'(?:[^"{mark}\r\n\x00]*|"(?:[^"\x00]|"")*")'
    field = f'{pattern}|"(?:{pattern})"'
    return f'(?:{field}|"")?' if column.field.nullable else f"(?:{field})"


def _json_pair(column: "ArrayColumn") -> str:
    name = re.escape(msgspec.json.encode(column.field.name).decode())
    null = "|null" if column.field.nullable else ""
    return f"{name}{JSON_SPACE}:{JSON_SPACE}(?:{_json_value(column)}{null})"


def _json_value(column: "ArrayColumn") -> str:
    pattern = column.rule.pattern
    if column.rule.kind == "text" or pattern is None:
        return JSON_TEXT
    return JSON_FORMS.get(column.rule.kind, '"(?:{0})"').format(pattern)
