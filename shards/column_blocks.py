"""Rows by their columns, as they go to a database's loader: texts, or the arrays of pyarrow."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from shards.column_texts import Texts

NUL: Final = "\0"
NULL: Final = "\\N"
SPECIAL: Final = (("\\", "\\\\"), ("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r"))


@dataclass(frozen=True, slots=True)
class Columns:
    """So many rows, by column: `texts` that are checked by their columns' rules, in the order of `names`.

    `arrays` is a pyarrow RecordBatch of the same columns in place of the texts, where a reader made one.
    """

    names: tuple[str, ...]
    count: int
    texts: Sequence[Texts] = ()
    arrays: Any = None


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
