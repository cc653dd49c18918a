"""Columns as texts: which texts a database surely reads as the value that a row's model makes of them.

Whatever is not surely read so, for whatever reason, is left to the slow way, which judges value by value.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from sqlalchemy import types
from sqlalchemy.types import TypeEngine

from shards import text_patterns
from shards.column_values import BITS_MAXIMUM, INTEGER_BITS
from shards.conflicts import MYSQL
from shards.text_patterns import choice_pattern, decimal_pattern, integer_pattern

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
PATTERNS: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        "float": text_patterns.FLOAT,
        "boolean": text_patterns.BOOLEAN,
        "date": text_patterns.DAY,
        "datetime": text_patterns.MOMENT,
        "zoned": text_patterns.ZONED_MOMENT,
        "time": text_patterns.CLOCK,
        "uuid": text_patterns.UUID,
    }
)
NUMBERS_OF_TRUTH: Final = MappingProxyType({"true": "1", "True": "1", "false": "0", "False": "0"})
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
    """What the texts of one column have to be.

    Where there is a `pattern`, a text that it matches is right; else it is a text of so many characters at
    most, or JSON.
    """

    kind: Kind
    pattern: str | None = None
    characters_maximum: int | None = None
    choices: frozenset[str] | None = None
    bounds: tuple[int, int] = (0, 0)
    digits: tuple[int, int] | None = None
    """A decimal's precision and scale."""
    unaided_pattern: str | None = None
    """Where it is not the pattern: what the database reads without `told`."""
    has_truth_as_number: bool = False
    """Whether the database knows `true` as 1 only."""

    def unaided(self) -> "TextRule":
        """The rule for texts that go to the database as they stand."""
        return self if self.unaided_pattern is None else replace(self, pattern=self.unaided_pattern)

    def checked(self, texts: Texts) -> Texts | None:
        """The column as the database takes it, or None where not all of it is surely right."""
        present: Any = [text for text in texts if text is not None] if None in texts else texts
        return self.told(texts) if not present or self._fits(present) else None

    def told(self, texts: Texts) -> Texts | None:
        """Texts that match the pattern, or fit, as the database takes them; None where JSON is not right."""
        match self.kind:
            case "datetime" if "Z" in "".join(filter(None, texts)):
                return [None if text is None else text.removesuffix("Z") for text in texts]
            case "integer" | "boolean" if self.has_truth_as_number and not NUMBERS_OF_TRUTH.keys().isdisjoint(
                texts
            ):
                return [text and NUMBERS_OF_TRUTH.get(text, text) for text in texts]
            case "json":
                return _json(texts)
        return texts

    def _fits(self, texts: Sequence[str]) -> bool:
        if self.choices is not None:
            return self.choices.issuperset(texts)
        if self.pattern is not None:
            # one match of the whole column costs a tenth of a match for each value; it never goes back
            return re.fullmatch(rf"(?:(?:{self.pattern})\n)*+", END.join(texts) + END) is not None
        if NUL in "".join(texts):
            return False
        return self.characters_maximum is None or max(map(len, texts)) <= self.characters_maximum


def text_rule(type_: TypeEngine[Any], dialect: str) -> TextRule | None:
    """The rule for a column of this type; None where only the slow way knows what a database makes of it.

    So it is with types that somebody derived: they may bind anything, also in place of None.
    """
    if type(type_).__module__.partition(".")[0] != "sqlalchemy":
        return None
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
    choices = frozenset(type_.enums)
    return TextRule("text", choice_pattern(choices), choices=choices)


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
    pattern = integer_pattern(*bounds)
    if getattr(type_, "display_width", None) == 1 and not unsigned:  # MariaDB's BOOLEAN
        either = f"{pattern}|true|false"
        return TextRule("integer", either, bounds=bounds, unaided_pattern=pattern, has_truth_as_number=True)
    return TextRule("integer", pattern, bounds=bounds)


def _boolean_rule(_type: Any, dialect: str) -> TextRule:
    if dialect in MYSQL:
        return TextRule("boolean", PATTERNS["boolean"], unaided_pattern="1|0", has_truth_as_number=True)
    return TextRule("boolean", PATTERNS["boolean"])


def _decimal_rule(type_: Any, _dialect: str) -> TextRule | None:
    precision, scale = type_.precision, type_.scale or 0
    if not type_.asdecimal or getattr(type_, "unsigned", False):
        return None
    if precision is None:
        return TextRule("decimal", decimal_pattern(DECIMAL_DIGITS_MAXIMUM, DECIMAL_DIGITS_MAXIMUM))
    if not 0 <= scale < precision:
        return None
    return TextRule("decimal", decimal_pattern(precision - scale, scale), digits=(precision, scale))


def _datetime_rule(type_: Any, dialect: str) -> TextRule:
    if type_.timezone:
        return TextRule("zoned", PATTERNS["zoned"])
    without_zone = text_patterns.LOCAL_MOMENT if dialect in MYSQL else None
    return TextRule("datetime", PATTERNS["datetime"], unaided_pattern=without_zone)


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
    (types.Boolean, _boolean_rule),
    (types.Integer, _integer_rule),
    (types.Float, _float_rule),
    (types.Numeric, _decimal_rule),
    (types.DateTime, _datetime_rule),
    (types.Date, _always("date")),
    (types.Time, _time_rule),
    (types.Uuid, _uuid_rule),
    (types.JSON, _json_rule),
)


def _json(texts: Texts) -> Texts | None:
    # the slow way's path through Python changes numbers: both must store the same
    try:
        told = [None if text is None else json.dumps(msgspec.json.decode(text)) for text in texts]
    except (msgspec.DecodeError, RecursionError):
        return None
    return None if "null" in told or r"\u0000" in "".join(filter(None, told)) else told
