"""Rows of CSV whose texts are all surely right: one pattern knows them, without a look at each."""

import re
from collections.abc import Sequence
from typing import Final

from handlers.csv_blocks import FIELD_CHARACTERS_MAXIMUM
from handlers.row_model import RowField
from shards.column_texts import TextRule, Texts

PIECE_CHARACTERS: Final = 1024
QUOTE: Final = '"'
NUL: Final = "\0"
"""No text may have it; it is looked for by itself, for a pattern finds all but one character the fastest."""
NO_SEPARATORS: Final = frozenset("-+.: '\\")
"""Characters of numbers and moments, between which a row could be read in two ways, and those of SQL."""
NOT_AS_THEY_STAND: Final = (r"\.", "NULL")
"""Behind the one, alone on a line, PostgreSQL's COPY reads nothing; the other, where it is a whole field, is
no text to MariaDB's LOAD DATA."""


class CsvRows:
    """What right rows of these fields look like."""

    def __init__(self, fields: Sequence[tuple[RowField, TextRule]], separator: str) -> None:
        patterns = [_field_pattern(field, rule, separator) for field, rule in fields]
        between = re.escape(separator)
        unaided = [_field_pattern(field, rule.unaided(), separator) for field, rule in fields]
        # an empty line is no row, even where a row of one field could look like it
        row = "(?!\r?\n)" + between.join(f"(?:{pattern})" for pattern in unaided)
        cells = "(?!\r?\n)" + between.join(f"({pattern})" for pattern in patterns)
        self._rows = re.compile(f"(?:{row}\n)*+|(?:{row}\r\n)*+")
        self._cells = re.compile(f"{cells}\r?\n")
        self._nullable = [field.nullable for field, _ in fields]
        self.can_be_right = all(rule.kind != "json" for _, rule in fields)
        """Whether the pattern alone can tell that rows are."""

    @staticmethod
    def can_read(separator: str) -> bool:
        """Whether rows with this separator have one look only."""
        return separator not in NO_SEPARATORS

    def are_right(self, text: str) -> bool:
        """Whether all rows are, and a database that reads CSV sees no other rows.

        They must have one kind of newline between them and at the end.
        """
        if not self.can_be_right or any(sign in text for sign in (NUL, *NOT_AS_THEY_STAND)):
            return False
        return self._rows.fullmatch(text) is not None

    def columns(self, text: str) -> list[Texts] | None:
        """The texts by column, None for an empty one that is NULL; None where not all rows are right.

        The last row must have a newline, too; JSON is not looked at.
        """
        if NUL in text:
            return None
        cells = self._cells.split(text)
        width = len(self._nullable) + 1
        # what stands between two rows, where it is not nothing, was none
        if any(cells[::width]):
            return None
        has_quotes = QUOTE in text
        return [
            _told(cells[place::width], nullable=nullable, has_quotes=has_quotes)
            for place, nullable in enumerate(self._nullable, start=1)
        ]


def count_records(data: bytes) -> int:
    """How many records there are, each with its newline, in right rows none of which is empty."""
    return b"".join(data.split(b'"')[::2]).count(b"\n")


def _told(texts: list[str], *, nullable: bool, has_quotes: bool) -> Texts:
    if has_quotes and QUOTE in "".join(texts):
        texts = [text[1:-1].replace('""', QUOTE) if text[:1] == QUOTE else text for text in texts]
    return [text or None for text in texts] if nullable and "" in texts else texts


def _field_pattern(field: RowField, rule: TextRule, separator: str) -> str:
    if rule.pattern is None:
        return _text_pattern(rule.characters_maximum, separator)
    if any(sign in choice for choice in rule.choices or () for sign in (QUOTE, separator, "\r", "\n", "\0")):
        return "(?!)"
    either = f'(?:{rule.pattern})|"(?:{rule.pattern})"'
    return f'{either}|(?:"")?' if field.nullable else either


def _text_pattern(maximum: int | None, separator: str) -> str:
    most = min(FIELD_CHARACTERS_MAXIMUM, FIELD_CHARACTERS_MAXIMUM if maximum is None else maximum)
    plain = rf'[^{re.escape(separator)}"\r\n]{{0,{most}}}+'
    if most == FIELD_CHARACTERS_MAXIMUM:
        # not more than that, and perhaps fewer, where many quotes are doubled
        quoted = rf'(?:[^"]{{0,{PIECE_CHARACTERS - 1}}}+(?:"")?+){{0,{most // PIECE_CHARACTERS}}}+"'
    else:
        quoted = rf'(?:[^"]{{0,{most}}}+"|(?:[^"]|""){{0,{most}}}+")'
    return f'{plain}|"{quoted}'
