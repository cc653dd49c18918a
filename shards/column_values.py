"""Which values a column takes: the Python type that a value is decoded to, and the rules beyond the type."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Context, Decimal
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from msgspec import Meta
from sqlalchemy import types
from sqlalchemy.types import TypeEngine

Finish = Callable[[Any], Any]
Maker = Callable[[Any, str], "ColumnValue"]

INTEGER_BITS: Final[Mapping[str, int]] = MappingProxyType(
    {"TINYINT": 8, "SMALLINT": 16, "MEDIUMINT": 24, "INTEGER": 32, "BIGINT": 64}
)
BITS_MAXIMUM: Final = 64
LARGEST_FLOAT: Final = 1.7976931348623157e308

BigInteger = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
# Comparing refuses NaN too.
FiniteFloat = Annotated[float, Meta(ge=-LARGEST_FLOAT, le=LARGEST_FLOAT)]
# For types that only the database knows: it judges the value.
Scalar = str | BigInteger | FiniteFloat | bool


@dataclass(frozen=True, slots=True)
class ColumnValue:
    """The values of one column. `finish`, where there is one, makes of a decoded value the one to insert.

    It raises `ValueError` with the rule that a value breaks, never with the value.
    """

    type: Any
    finish: Finish | None = None
    is_json: bool = False


def column_value(type_: TypeEngine[Any], dialect: str) -> ColumnValue:
    """Which values a column of this type takes on this dialect."""
    for class_, make in MAKERS:
        if isinstance(type_, class_):
            return make(type_, dialect)
    return ColumnValue(Scalar)


def _enum(type_: Any, _dialect: str) -> ColumnValue:
    return ColumnValue(Literal[tuple(type_.enums)])


def _string(type_: Any, _dialect: str) -> ColumnValue:
    return ColumnValue(Annotated[str, Meta(max_length=type_.length)])


def _numeric(type_: Any, _dialect: str) -> ColumnValue:
    return ColumnValue(Decimal, partial(_fitting_decimal, type_.precision, type_.scale))


def _always(value: ColumnValue) -> Maker:
    return lambda _type, _dialect: value


def _integer(type_: Any, dialect: str) -> ColumnValue:
    # SQLite keeps 64 bits whatever the type's name.
    bits = BITS_MAXIMUM if dialect == "sqlite" else INTEGER_BITS.get(type_.__visit_name__, BITS_MAXIMUM)
    if getattr(type_, "unsigned", False):
        highest = None if bits == BITS_MAXIMUM else 2**bits - 1
        return ColumnValue(Annotated[int, Meta(ge=0, le=highest)])
    whole = Annotated[int, Meta(ge=-(2 ** (bits - 1)), le=2 ** (bits - 1) - 1)]
    # MariaDB's BOOLEAN is a TINYINT(1).
    return ColumnValue(whole | bool if getattr(type_, "display_width", None) == 1 else whole)


def _datetime(type_: Any, _dialect: str) -> ColumnValue:
    if type_.timezone:
        return ColumnValue(Annotated[datetime, Meta(tz=True)])
    return ColumnValue(datetime, _without_zone)


def _without_zone(value: datetime) -> datetime:
    """The same instant in UTC, without its zone, which the column cannot keep."""
    if value.tzinfo is None:
        return value
    try:
        return value.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise ValueError("out of range in UTC") from None


def _fitting_decimal(precision: int | None, scale: int | None, value: Decimal) -> Decimal:
    if not value.is_finite():
        raise ValueError("expected a finite decimal")
    if precision is None or not value:
        return value
    scale = scale or 0
    if value.adjusted() >= precision - scale:
        raise ValueError(f"expected at most {precision - scale} digits before the decimal point")
    # Within that range no more than the precision's digits can be left; rounding up may add one.
    if Context(prec=precision + 1).quantize(value, Decimal(1).scaleb(-scale)) != value:
        raise ValueError(f"expected at most {scale} digits after the decimal point")
    return value


# The first that fits: Enum is a String, Float is a Numeric.
MAKERS: Final[tuple[tuple[type[TypeEngine[Any]], Maker], ...]] = (
    (types.Enum, _enum),
    (types.String, _string),
    (types.Boolean, _always(ColumnValue(bool))),
    (types.Integer, _integer),
    (types.Float, _always(ColumnValue(FiniteFloat))),
    (types.Numeric, _numeric),
    (types.DateTime, _datetime),
    (types.Date, _always(ColumnValue(date))),
    (types.Time, _always(ColumnValue(time))),
    (types.Uuid, _always(ColumnValue(UUID))),
    (types.LargeBinary, _always(ColumnValue(bytes))),
    (types.JSON, _always(ColumnValue(Any, is_json=True))),
    (types.ARRAY, _always(ColumnValue(list[Any]))),
)
