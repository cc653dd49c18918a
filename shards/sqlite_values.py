"""The values that SQLite's driver is given for columns of texts: those that SQLAlchemy would bind."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sqlalchemy import Dialect
from sqlalchemy.types import TypeEngine

from shards.column_texts import Kind, Texts

Convert = Callable[[Sequence[str]], Sequence[Any]]
"""Makes values of texts, none of which is None."""

END: Final = "\n"
SECONDS_CHARACTERS: Final = len("2026-11-21 13:14:15")
NO_MICROSECONDS: Final = ".000000"
BEHIND_MOMENTS: Final[Mapping[int, str]] = MappingProxyType(
    {SECONDS_CHARACTERS: NO_MICROSECONDS, SECONDS_CHARACTERS + len(NO_MICROSECONDS): ""}
)
"""What is missing behind moments that are so long."""
TRUTHS: Final = MappingProxyType({"true": 1, "True": 1, "1": 1, "false": 0, "False": 0, "0": 0})
READERS: Final[Mapping[Kind, Callable[[str], Any]]] = MappingProxyType(
    {
        "integer": int,
        "decimal": Decimal,
        "float": float,
        "boolean": {text: bool(truth) for text, truth in TRUTHS.items()}.get,
        "date": date.fromisoformat,
        "datetime": datetime.fromisoformat,
        "zoned": datetime.fromisoformat,
        "time": time.fromisoformat,
    }
)


class Shortcut(NamedTuple):
    """A way to the values that goes past Python's own, where SQLAlchemy binds `example` as `bound`.

    In examples of moments every number has a digit less than it may have: only usual forms fill it up.
    """

    example: Any
    bound: Any
    convert: Convert


def converter(kind: Kind, type_: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    """What makes a column's texts the values of this type; None where the texts are the values."""
    bind = type_.dialect_impl(dialect).bind_processor(dialect)
    shortcut = SHORTCUTS.get(kind)
    if shortcut is not None and bind is not None:
        bound = bind(shortcut.example)
        if (type(bound), bound) == (type(shortcut.bound), shortcut.bound):
            return shortcut.convert
    steps = [step for step in (READERS.get(kind), bind) if step is not None]
    return _each(steps) if steps else None


def converted(texts: Texts, convert: Convert | None) -> Sequence[Any]:
    """The column's values; None stays None."""
    if convert is None:
        return texts
    try:
        return convert(texts)  # type: ignore[arg-type]
    except TypeError:  # of None; to look for it first would cost as much as to convert
        present = iter(convert([text for text in texts if text is not None]))
        return [None if text is None else next(present) for text in texts]


def _each(steps: Sequence[Callable[[Any], Any]]) -> Convert:
    def convert(texts: Sequence[str]) -> Sequence[Any]:
        values: Any = texts
        for step in steps:
            values = map(step, values)
        return list(values)

    return convert


def _same(texts: Sequence[str]) -> Sequence[str]:
    return texts


def _moments(texts: Sequence[str]) -> Sequence[str]:
    lengths = set(map(len, texts))
    if len(lengths) == 1 and lengths <= BEHIND_MOMENTS.keys():
        behind = BEHIND_MOMENTS[lengths.pop()]
        return (f"{behind}{END}".join(texts) + behind).replace("T", " ").split(END)
    return [f"{text[:10]} {text[11:19]}.{text[20:]:0<6}" for text in texts]


def _clocks(texts: Sequence[str]) -> Sequence[str]:
    return [f"{text[:8]}.{text[9:]:0<6}" for text in texts]


SHORTCUTS: Final[Mapping[Kind, Shortcut]] = MappingProxyType(
    {
        "decimal": Shortcut(Decimal("1.5"), 1.5, _each([float])),
        "boolean": Shortcut(True, 1, _each([TRUTHS.get])),
        "date": Shortcut(date(1, 2, 3), "0001-02-03", _same),
        "datetime": Shortcut(
            datetime(1, 2, 3, 4, 5, 6, 7),  # noqa: DTZ001 - the column knows no zone
            "0001-02-03 04:05:06.000007",
            _moments,
        ),
        "time": Shortcut(time(4, 5, 6, 7), "04:05:06.000007", _clocks),
    }
)
