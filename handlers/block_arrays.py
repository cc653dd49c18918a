"""What pyarrow read of a block, checked and made columns of: the extra `fast`.

The patterns of `array_patterns` say what values look like; what they cannot say is checked here.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from handlers.csv_blocks import FIELD_CHARACTERS_MAXIMUM
from handlers.row_model import RowField, RowModel
from handlers.table_rows import TableRow
from shards.column_blocks import Columns
from shards.column_texts import Kind, TextRule

DECIMAL_DIGITS_MAXIMUM: Final = 38
INTEGER_BITS: Final = (16, 32, 64)
ALIASES: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        "text": "string",
        "float": "float64",
        "boolean": "bool",
        "date": "date32",
        "datetime": "timestamp[us]",
        "time": "time64[us]",
    }
)
FIRST_DAY: Final = -719_162
"""The first day of the year 1, with which Python's dates begin, counted from 1970."""
DAY_MICROSECONDS: Final = 86_400 * 10**6


class Doubtful(Exception):
    """Something is not surely right."""


class ArrayColumn(NamedTuple):
    """A column of a file: its field, its rule and pyarrow's type for it."""

    field: RowField
    rule: TextRule
    type: Any


class Owner(NamedTuple):
    """The column that has the same value in each row, whether the file has it or not."""

    column: ArrayColumn
    value: Any

    def array(self, named: Any | None, count: int) -> Any:
        """The column for so many rows; `named` is what the file says.

        Raises:
            Doubtful: a row names another owner.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        value = pa.scalar(self.value, self.column.type)
        if named is not None and not are_all(pc.equal(named, value)):
            raise Doubtful
        return pa.repeat(value, count)


def array_columns(fields: Iterable[RowField], rules: Mapping[str, TextRule]) -> list[ArrayColumn] | None:
    """The fields as columns of arrays; None where pyarrow has no type for one, or no way to read it."""
    columns = []
    for field in fields:
        rule = rules.get(field.name)
        type_ = None if rule is None or field.is_configured else _arrow_type(rule)
        if rule is None or type_ is None:
            return None
        columns.append(ArrayColumn(field, rule, type_))
    return columns


def owner_of(model: RowModel[TableRow], rules: Mapping[str, TextRule]) -> Owner | None:
    """The owner of the model's rows, if they have one; raises `Doubtful` where pyarrow has no type for it."""
    if model.owner is None:
        return None
    name, value = model.owner
    columns = array_columns([model.fields[name]], rules)
    if columns is None:
        raise Doubtful
    return Owner(columns[0], value)


def fits(data: bytes, pattern: str) -> bool:
    """Whether the bytes fit the pattern; raises pyarrow's error for a pattern that is too large."""
    import pyarrow as pa
    import pyarrow.compute as pc

    fitting: bool = pc.match_substring_regex(pa.scalar(data, pa.binary()), pattern).as_py()
    return fitting


def are_all(matches: Any) -> bool:
    """Whether all are true that are not NULL."""
    import pyarrow.compute as pc

    return pc.all(matches, skip_nulls=True, min_count=0).as_py() is not False


def as_columns(columns: Iterable[ArrayColumn], table: Any, owner: Owner | None) -> Columns:
    """The columns of a table that pyarrow read, in their order.

    Raises:
        Doubtful: a value is not surely right.
        pyarrow.ArrowException: a value cannot be one of its column's type.
    """
    import pyarrow as pa

    arrays = {
        column.field.name: _checked(_whole(table.column(place)), column)
        for place, column in enumerate(columns)
    }
    if owner is not None:
        name = owner.column.field.name
        arrays[name] = owner.array(arrays.get(name), table.num_rows)
    batch = pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))
    return Columns(tuple(arrays), batch.num_rows, arrays=batch)


def _whole(column: Any) -> Any:
    # to combine the chunks copies a single one, too
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _arrow_type(rule: TextRule) -> Any:
    import pyarrow as pa

    match rule.kind:
        case "integer":
            return _integer_type(*rule.bounds)
        case "decimal":
            digits = rule.digits
            return pa.decimal128(*digits) if digits and digits[0] <= DECIMAL_DIGITS_MAXIMUM else None
        case "zoned":
            return pa.timestamp("us", "UTC")
    alias = ALIASES.get(rule.kind)
    return None if alias is None else pa.type_for_alias(alias)


def _integer_type(lowest: int, highest: int) -> Any:
    import pyarrow as pa

    enough = (bits for bits in INTEGER_BITS if -(2 ** (bits - 1)) <= lowest and highest < 2 ** (bits - 1))
    return next((pa.type_for_alias(f"int{bits}") for bits in enough), None)


def _checked(array: Any, column: ArrayColumn) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if array.type != column.type:
        array = array.cast(column.type, memory_pool=pa.system_memory_pool())
    match column.rule.kind:
        case "text":
            if array.null_count and not column.field.nullable:
                array = pc.fill_null(array, "")
            _check_text(array, column.rule)
        case "integer":
            _check_bounds(array, *column.rule.bounds)
        case "decimal":
            # pyarrow counts the digits before it adds the scale's
            precision, scale = column.type.precision, column.type.scale
            _check_bounds(array, *(Decimal((sign, (9,) * precision, -scale)) for sign in (1, 0)))
        case "date":
            _check_bounds(array.view("int32"), FIRST_DAY)
        case "datetime" | "zoned":
            _check_bounds(array.view("int64"), FIRST_DAY * DAY_MICROSECONDS)
    return array


def _check_text(array: Any, rule: TextRule) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    longest = pc.max(pc.binary_length(array)).as_py() or 0
    # a text has no more characters than bytes
    if longest > FIELD_CHARACTERS_MAXIMUM:
        raise Doubtful
    if rule.choices is not None:
        if not are_all(pc.is_in(array.drop_null(), pa.array(sorted(rule.choices)))):
            raise Doubtful
        return
    maximum = rule.characters_maximum
    if maximum is not None and longest > maximum and pc.max(pc.utf8_length(array)).as_py() > maximum:
        raise Doubtful


def _check_bounds(array: Any, lowest: int | Decimal, highest: int | Decimal | None = None) -> None:
    import pyarrow.compute as pc

    found = pc.min_max(array).as_py()
    if found["min"] is None:
        return
    if found["min"] < lowest or (highest is not None and found["max"] > highest):
        raise Doubtful
