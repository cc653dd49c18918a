"""Columns as texts: which texts a database surely reads as the value that a row's model makes of them.

Whatever is not surely read so, for whatever reason, is left to the slow way, which judges value by value.
"""

import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from sqlalchemy import types
from sqlalchemy.types import TypeEngine

from shards.column_values import BITS_MAXIMUM, INTEGER_BITS

Texts = Sequence[str | None]
"""A column's values; None is NULL."""

Maker = Callable[[Any, str], "TextRule | None"]
Kind = Literal[
    "text", "integer", "decimal", "float", "boolean", "date", "datetime", "zoned", "time", "uuid", "json"
]

END: Final = "\n"
NUL: Final = "\0"
DECIMAL_DIGITS_MAXIMUM: Final = 30
PLAIN_TEXTS: Final = frozenset(
    {"VARCHAR", "CHAR", "TEXT", "NVARCHAR", "TINYTEXT", "MEDIUMTEXT", "LONGTEXT", "string", "text"}
)
DAY: Final = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
CLOCK: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
PATTERNS: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        "integer": r"-?(?:0|[1-9][0-9]{0,18})",
        "float": r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?(?:[eE][+-]?[0-9]{1,2})?",
        "boolean": r"[Tt]rue|[Ff]alse|1|0",
        "date": DAY,
        "datetime": f"{DAY}[T ]{CLOCK}Z?",
        "zoned": rf"{DAY}[T ]{CLOCK}(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])",
        "time": CLOCK,
        "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    }
)
PYTHON_TYPES: Final[Mapping[Kind, tuple[type, ...]]] = MappingProxyType(
    {
        "text": (str,),
        "integer": (int, bool),
        "decimal": (Decimal, int),
        "float": (float,),
        "boolean": (bool,),
        "date": (date,),
        "datetime": (datetime,),
        "zoned": (datetime,),
        "time": (time,),
        "uuid": (UUID,),
    }
)
"""The types of the values that `values_as_texts` takes; others may mean something else to a driver."""


@dataclass(frozen=True, slots=True)
class TextRule:
    """What the texts of one column have to be."""

    kind: Kind
    pattern: str | None = None
    characters_maximum: int | None = None
    choices: frozenset[str] | None = None
    bounds: tuple[int, int] = (0, 0)
    digits: tuple[int, int] | None = None
    """A decimal's precision and scale."""

    def checked(self, texts: Texts) -> Texts | None:
        """The column as the database takes it, or None where not all of it is surely right."""
        present = [text for text in texts if text is not None] if None in texts else texts
        try:
            told = CHECKS[self.kind](self, present) if present else present  # type: ignore[arg-type]
        except ValueError:
            return None
        if told is present or told is None:
            return texts if told is not None else None
        if present is texts:
            return told
        following = iter(told)
        return [None if text is None else next(following) for text in texts]


def text_rule(type_: TypeEngine[Any], dialect: str) -> TextRule | None:
    """The rule for a column of this type; None where only the slow way knows what a database makes of it."""
    for class_, make in MAKERS:
        if isinstance(type_, class_):
            return make(type_, dialect)
    return None


def values_as_texts(values: Sequence[Any], kind: Kind) -> Texts | None:
    """The values as the texts that a rule may check; None where one is of another type than the kind's."""
    expected = PYTHON_TYPES.get(kind)
    found = set(map(type, values))
    if expected is None or not found <= {*expected, type(None)}:
        return None
    if kind == "text":
        return values
    told: Callable[[Any], str] = _number if bool in found and kind == "integer" else str
    if type(None) not in found:
        return list(map(told, values))
    return [None if value is None else told(value) for value in values]


def _number(value: int) -> str:
    return str(int(value))


def _always(kind: Kind) -> Maker:
    return lambda _type, _dialect: TextRule(kind, PATTERNS[kind])


def _enum_rule(type_: Any, _dialect: str) -> TextRule:
    return TextRule("text", choices=frozenset(type_.enums))


def _string_rule(type_: Any, _dialect: str) -> TextRule | None:
    is_plain = type_.__visit_name__ in PLAIN_TEXTS
    return TextRule("text", characters_maximum=type_.length) if is_plain else None


def _float_rule(type_: Any, _dialect: str) -> TextRule | None:
    # a number of single precision is rounded twice or once, depending on the way it goes
    is_double = isinstance(type_, types.DOUBLE | types.DOUBLE_PRECISION)
    return TextRule("float", PATTERNS["float"]) if is_double else None


def _integer_rule(type_: Any, dialect: str) -> TextRule | None:
    # of a type that does not tell its size, the database judges the size: what it refuses goes the slow way
    sizes = {} if dialect == "sqlite" else INTEGER_BITS
    bits, unsigned = sizes.get(type_.__visit_name__, BITS_MAXIMUM), getattr(type_, "unsigned", False)
    if bits == BITS_MAXIMUM and unsigned:
        return None
    bounds = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return TextRule("integer", PATTERNS["integer"], bounds=bounds)


def _decimal_rule(type_: Any, _dialect: str) -> TextRule | None:
    precision, scale = type_.precision, type_.scale or 0
    if not type_.asdecimal or getattr(type_, "unsigned", False):
        return None
    if precision is None:
        return TextRule("decimal", _decimal_pattern(DECIMAL_DIGITS_MAXIMUM, DECIMAL_DIGITS_MAXIMUM))
    if not 0 <= scale < precision:
        return None
    return TextRule("decimal", _decimal_pattern(precision - scale, scale), digits=(precision, scale))


def _decimal_pattern(before: int, behind: int) -> str:
    fraction = rf"(?:\.[0-9]{{1,{behind}}})?" if behind else ""
    return rf"-?[0-9]{{1,{before}}}{fraction}"


def _datetime_rule(type_: Any, _dialect: str) -> TextRule:
    kind: Kind = "zoned" if type_.timezone else "datetime"
    return TextRule(kind, PATTERNS[kind])


def _time_rule(type_: Any, _dialect: str) -> TextRule | None:
    return None if type_.timezone else TextRule("time", PATTERNS["time"])


def _uuid_rule(_type: Any, dialect: str) -> TextRule | None:
    return TextRule("uuid", PATTERNS["uuid"]) if dialect == "postgresql" else None


def _json_rule(_type: Any, dialect: str) -> TextRule | None:
    return None if dialect == "sqlite" else TextRule("json")


# The first that fits: Enum is a String, Float is a Numeric.
MAKERS: Final[tuple[tuple[type[TypeEngine[Any]], Maker], ...]] = (
    (types.Enum, _enum_rule),
    (types.String, _string_rule),
    (types.Boolean, _always("boolean")),
    (types.Integer, _integer_rule),
    (types.Float, _float_rule),
    (types.Numeric, _decimal_rule),
    (types.DateTime, _datetime_rule),
    (types.Date, _always("date")),
    (types.Time, _time_rule),
    (types.Uuid, _uuid_rule),
    (types.JSON, _json_rule),
)


Check = Callable[[TextRule, Sequence[str]], Sequence[str] | None]


def _matches(rule: TextRule, texts: Sequence[str]) -> bool:
    # one match of the whole column costs a tenth of a match for each value; it never goes back
    return re.fullmatch(rf"(?:(?:{rule.pattern})\n)*+", END.join(texts) + END) is not None


def _text(rule: TextRule, texts: Sequence[str]) -> Sequence[str] | None:
    if NUL in "".join(texts):
        return None
    if rule.choices is not None:
        return texts if rule.choices.issuperset(texts) else None
    if rule.characters_maximum is not None and max(map(len, texts)) > rule.characters_maximum:
        return None
    return texts


def _integer(rule: TextRule, texts: Sequence[str]) -> Sequence[str] | None:
    if not _matches(rule, texts):
        return None
    lowest, highest = rule.bounds
    numbers = list(map(int, texts))
    return texts if lowest <= min(numbers) and max(numbers) <= highest else None


def _matching(rule: TextRule, texts: Sequence[str]) -> Sequence[str] | None:
    return texts if _matches(rule, texts) else None


def _date(rule: TextRule, texts: Sequence[str]) -> Sequence[str] | None:
    if not _matches(rule, texts):
        return None
    _exhaust(map(date.fromisoformat, set(texts)))
    return texts


def _datetime(rule: TextRule, texts: Sequence[str]) -> Sequence[str] | None:
    if not _matches(rule, texts):
        return None
    _exhaust(map(datetime.fromisoformat, texts))
    if rule.kind == "datetime" and "Z" in "".join(texts):
        return [text.removesuffix("Z") for text in texts]
    return texts


def _json(_rule: TextRule, texts: Sequence[str]) -> Sequence[str] | None:
    # the slow way's path through Python changes numbers: both must store the same
    try:
        told = [json.dumps(msgspec.json.decode(text)) for text in texts]
    except (msgspec.DecodeError, RecursionError):
        return None
    return None if "null" in told or r"\u0000" in "".join(told) else told


def _exhaust(values: Iterable[Any]) -> None:
    deque(values, maxlen=0)


CHECKS: Final[Mapping[Kind, Check]] = MappingProxyType(
    {
        "text": _text,
        "integer": _integer,
        "decimal": _matching,
        "float": _matching,
        "boolean": _matching,
        "date": _date,
        "datetime": _datetime,
        "zoned": _datetime,
        "time": _matching,
        "uuid": _matching,
        "json": _json,
    }
)
