"""Rows as one text for LOAD DATA: control characters stand between values, so that none has to be escaped.

There are three that hardly any text has. Where one has, more of them are counted than should be there, and
the text is not made.
"""

from collections.abc import Sequence
from typing import Any, Final

from shards.column_blocks import Columns
from shards.column_texts import Texts

ESCAPE: Final = "\x1d"
END: Final = "\x1e"
MARK: Final = "\x1f"
NULL: Final = f"{ESCAPE}N"
OPTIONS: Final = (
    f"FIELDS TERMINATED BY x'{ord(MARK):x}' ESCAPED BY x'{ord(ESCAPE):x}' LINES TERMINATED BY x'{ord(END):x}'"
)


def as_marked_text(columns: Columns) -> bytes | None:
    """The rows, to be read by `OPTIONS`; None where a value has one of the characters."""
    if columns.arrays is not None:
        data, null_count = _of_arrays(columns.arrays)
    else:
        data, null_count = _of_texts(columns.texts)
    found = [data.count(sign.encode()) for sign in (ESCAPE, END, MARK)]
    return data if found == [null_count, columns.count, columns.count * (len(columns.names) - 1)] else None


def _of_texts(columns: Sequence[Texts]) -> tuple[bytes, int]:
    null_count = sum(texts.count(None) for texts in columns)
    told: Any = [_without_none(texts) for texts in columns] if null_count else columns
    lines = END.join(map(MARK.join, zip(*told, strict=True)))
    return f"{lines}{END}".encode(), null_count


def _without_none(texts: Texts) -> Sequence[str | None]:
    return [NULL if text is None else text for text in texts] if None in texts else texts


def _of_arrays(arrays: Any) -> tuple[bytes, int]:
    import pyarrow as pa
    import pyarrow.compute as pc

    # the system's allocator keeps less of what was given back
    pool = pa.system_memory_pool()
    *others, last = (pc.fill_null(texts, NULL) for texts in map(_as_text, arrays.columns))
    ended = pc.binary_join_element_wise(last, END, "", memory_pool=pool)
    lines = pc.binary_join_element_wise(*others, ended, MARK, memory_pool=pool)
    # the texts stand behind each other in one buffer
    return lines.buffers()[2].to_pybytes(), sum(array.null_count for array in arrays.columns)


def texts_in_rows(columns: Columns) -> list[str | None]:
    """The texts of all rows, one row behind the other."""
    width = len(columns.names)
    marked = None if columns.arrays is None else as_marked_text(columns)
    if marked is None:
        texts = columns.texts if columns.arrays is None else texts_of(columns.arrays)
        found: list[str | None] = [None] * (width * columns.count)
        for place, column in enumerate(texts):
            found[place::width] = column
        return found
    found = [*marked.decode().replace(END, MARK).split(MARK)]
    found.pop()
    for place, array in enumerate(columns.arrays.columns):
        if array.null_count:
            found[place::width] = [None if text == NULL else text for text in found[place::width]]
    return found


def texts_of(arrays: Any) -> list[Texts]:
    """The same columns as texts."""
    return [_as_text(array).to_pylist() for array in arrays.columns]


def _as_text(array: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    return (
        array if array.type == pa.string() else array.cast(pa.string(), memory_pool=pa.system_memory_pool())
    )
