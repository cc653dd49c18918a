"""Rows by their columns, as they go to a database's loader: texts, the arrays of pyarrow, or CSV."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from shards.column_texts import Texts

NUL: Final = "\0"
NULL: Final = "\\N"
SPECIAL: Final = (("\\", "\\\\"), ("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r"))


@dataclass(frozen=True, slots=True)
class CsvText:
    r"""Rows as they stand in a file, all surely right; each ends with the same kind of newline.

    A field that is empty, quoted or not, is NULL in the `nullable` columns, and the empty text in others.
    No field has a NUL or a `\.`; columns that are no texts have no spaces around them.
    """

    data: bytes
    separator: str
    nullable: tuple[str, ...]
    counted: tuple[str, ...] = ()
    """Those of the others in which the database may count."""


@dataclass(frozen=True, slots=True)
class Columns:
    """So many rows, by column: `texts` that are checked by their columns' rules, in the order of `names`.

    In place of the texts, a reader may have made `arrays`, a pyarrow RecordBatch of the same columns, or left
    the rows as the `csv` that they are.
    """

    names: tuple[str, ...]
    count: int
    texts: Sequence[Texts] = ()
    arrays: Any = None
    csv: CsvText | None = None


def as_copy_text(columns: Columns) -> bytes:
    r"""The rows in the form that both COPY and LOAD DATA read: tabs between, `\N` for NULL, backslashes."""
    escaped = [_escaped(texts) for texts in columns.texts]
    lines = "\n".join(map("\t".join, zip(*escaped, strict=True)))
    return f"{lines}\n".encode()


def _escaped(texts: Texts) -> Sequence[str]:
    has_null = None in texts
    plain: Sequence[str] = [text or "" for text in texts] if has_null else texts  # type: ignore[assignment]
    joined = NUL.join(plain)
    escaped = joined
    for character, told in SPECIAL:
        if character in escaped:
            escaped = escaped.replace(character, told)
    if escaped is not joined:
        plain = escaped.split(NUL)
    if not has_null:
        return plain
    return [NULL if text is None else told for text, told in zip(texts, plain, strict=True)]
