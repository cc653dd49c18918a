"""Lines of JSON whose values are all surely right: one pattern knows them, without a look at each."""

import json
import re
from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from handlers.row_model import RowField
from shards.column_texts import TextRule, Texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shards.column_texts import Kind

SPACE: Final = r"[ \t]*+"
QUOTE: Final = '"'
BACKSLASH: Final = "\\"
HEX: Final = "[0-9a-fA-F]"
PLAIN: Final = r'[^"\\\x00-\x1f]'
ESCAPE: Final = (
    rf'\\(?:["\\/bfnrt]|u(?!0000|[dD][89a-fA-F]){HEX}{{4}}'
    # a pair of surrogates is one character; half of one is none
    rf"|u[dD][89abAB]{HEX}{{2}}\\u[dD][c-fC-F]{HEX}{{2}})"
)
NUMBER: Final = r"(?!-?0[0-9])(?:{0})"
"""Other than a text, a number has no zeros in front."""
TEXT: Final = '"({0})"'
FORMS: "Final[Mapping[Kind, str]]" = MappingProxyType(
    {
        "integer": f"({NUMBER})",
        "float": f"({NUMBER})",
        "boolean": "(true|false)",
        # with its quotes, which have to be taken away
        "decimal": f'({NUMBER}|"(?:{{0}})")',
    }
)
"""How the values are written that are no texts."""


class JsonRows:
    """What lines look like that are objects of these fields, in this order."""

    def __init__(self, fields: Sequence[tuple[RowField, TextRule]]) -> None:
        self._fields = fields
        pairs = f"{SPACE},{SPACE}".join(_pair(field, rule) for field, rule in fields)
        self._line = re.compile(rf"\{{{SPACE}{pairs}{SPACE}\}}\r?\n")

    @staticmethod
    def can_read(rule: TextRule) -> bool:
        """Whether values of this rule have one look only."""
        return rule.kind != "json"

    def columns(self, text: str) -> list[Texts] | None:
        """The values by column, as texts; None where not all lines are right. The last one has a newline."""
        cells = self._line.split(text)
        width = len(self._fields) + 1
        # what stands between two lines, where it is not nothing, was none
        if any(cells[::width]):
            return None
        return [_texts(cells[place::width]) for place in range(1, width)]


def _pair(field: RowField, rule: TextRule) -> str:
    value = _value(rule)
    return f"{re.escape(_written(field.name))}{SPACE}:{SPACE}" + (
        f"(?:{value}|null)" if field.nullable else value
    )


def _value(rule: TextRule) -> str:
    """The pattern of a value, with one group: the text in it, as it is written."""
    if rule.choices is not None:
        return f'"({"|".join(re.escape(_written(choice)[1:-1]) for choice in sorted(rule.choices))})"'
    if rule.pattern is not None:
        return FORMS.get(rule.kind, TEXT).replace("{0}", rule.pattern)
    if rule.characters_maximum is None:
        return f'"((?:{PLAIN}++|{ESCAPE})*+)"'
    most = rule.characters_maximum
    return f'"({PLAIN}{{0,{most}}}+(?=")|(?:{PLAIN}|{ESCAPE}){{0,{most}}}+)"'


def _texts(cells: list[str | None]) -> Texts:
    written: Any = cells if None not in cells else [cell for cell in cells if cell is not None]
    joined = "".join(written)
    if BACKSLASH in joined:
        texts = msgspec.json.decode('["' + '","'.join(written) + '"]')
    elif QUOTE in joined:
        texts = [text.strip(QUOTE) for text in written]
    else:
        return cells
    if written is cells:
        return texts  # type: ignore[no-any-return]
    told = iter(texts)
    return [None if cell is None else next(told) for cell in cells]


def _written(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
