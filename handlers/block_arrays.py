"""Blocks of CSV read and checked by pyarrow: the extra `fast`, for PostgreSQL's binary COPY."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from handlers.csv_blocks import CsvBlock
from handlers.row_files import CsvFile
from handlers.table_rows import TableRow
from shards.column_blocks import Columns
from shards.column_texts import TextRule

ArraysReader = Callable[[CsvBlock], Columns | None]

FIELD_BYTES_MAXIMUM: Final = 131_072
"""Python's own reader takes no longer field; where there may be one, it decides."""
DECIMAL_DIGITS_MAXIMUM: Final = 38
INTEGER_BITS: Final = (16, 32, 64)


def arrays_reader(file: CsvFile[TableRow], rules: Sequence[TextRule]) -> ArraysReader | None:
    """What makes pyarrow's arrays of the file's blocks; None where a column has no type of pyarrow's.

    For a block in which anything is not surely right, it gives None.
    """
    types = [_arrow_type(rule) for rule in rules]
    if len(types) < 2 or any(type_ is None for type_ in types):  # noqa: PLR2004 - an empty line is a row of one
        return None
    return _Arrays(file, rules, types).columns


class _Arrays:
    def __init__(self, file: CsvFile[TableRow], rules: Sequence[TextRule], types: Sequence[Any]) -> None:
        import pyarrow as pa
        from pyarrow import csv

        self._names = tuple(field.name for field in file.columns)
        self._columns = list(zip(file.columns, rules, types, strict=True))
        self._schema = pa.schema(list(zip(self._names, types, strict=True)))
        self._parse = csv.ParseOptions(
            delimiter=file.separator, newlines_in_values=True, ignore_empty_lines=True
        )
        self._convert = csv.ConvertOptions(
            column_types=dict.fromkeys(self._names, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
        )

    def columns(self, block: CsvBlock) -> Columns | None:
        import pyarrow as pa

        if block.data is None or b"\0" in block.data:
            return None
        try:
            table = self._read(block.data)
            arrays = [
                _checked(table.column(place).combine_chunks(), *column)
                for place, column in enumerate(self._columns)
            ]
        except (pa.ArrowException, _Doubtful):
            return None
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        return Columns(self._names, batch.num_rows, arrays=batch) if batch.num_rows else None

    def _read(self, data: bytes) -> Any:
        import pyarrow as pa
        from pyarrow import csv

        options = csv.ReadOptions(use_threads=False, column_names=list(self._names), block_size=len(data) + 1)
        return csv.read_csv(pa.BufferReader(data), options, self._parse, self._convert)


class _Doubtful(Exception):
    """Something is not surely right."""


def _arrow_type(rule: TextRule) -> Any:
    import pyarrow as pa

    match rule.kind:
        case "integer":
            bits = rule.bounds[1].bit_length() + 1
            return pa.type_for_alias(f"int{bits}") if bits in INTEGER_BITS and rule.bounds[0] < 0 else None
        case "decimal":
            digits = rule.digits
            return pa.decimal128(*digits) if digits and digits[0] <= DECIMAL_DIGITS_MAXIMUM else None
        case "text" | "float" | "boolean" | "date":
            return {"text": pa.string(), "float": pa.float64(), "boolean": pa.bool_(), "date": pa.date32()}[
                rule.kind
            ]
        case "datetime" | "zoned":
            return pa.timestamp("us", "UTC" if rule.kind == "zoned" else None)
    return None


def _checked(array: Any, field: Any, rule: TextRule, type_: Any) -> Any:
    import pyarrow.compute as pc

    if array.null_count and not field.nullable:
        if rule.kind != "text":
            raise _Doubtful
        array = pc.fill_null(array, "")
    if rule.kind == "text":
        _check_text(array, rule)
        return array
    if not _all(pc.match_substring_regex(array, f"^(?:{rule.pattern})$")):
        raise _Doubtful
    if rule.kind in {"date", "datetime", "zoned"}:
        _check_years(array)
    return array.cast(type_)


def _check_text(array: Any, rule: TextRule) -> None:
    import pyarrow.compute as pc

    longest = pc.max(pc.binary_length(array)).as_py() or 0
    if longest > FIELD_BYTES_MAXIMUM:
        raise _Doubtful
    if rule.choices is not None:
        import pyarrow as pa

        if not _all(pc.is_in(array, pa.array(sorted(rule.choices)), skip_nulls=False)):
            raise _Doubtful
        return
    maximum = rule.characters_maximum
    # a text has no more characters than bytes
    if maximum is not None and longest > maximum and pc.max(pc.utf8_length(array)).as_py() > maximum:
        raise _Doubtful


def _check_years(array: Any) -> None:
    import pyarrow.compute as pc

    # Python's dates begin with the year 1
    earliest = pc.min(array).as_py()
    if earliest is not None and earliest < "0001":
        raise _Doubtful


def _all(matches: Any) -> bool:
    import pyarrow.compute as pc

    return pc.all(matches, skip_nulls=True, min_count=0).as_py() is not False
