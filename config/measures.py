"""Durations such as `30s` and sizes such as `10MiB`, as the configuration file writes them."""

import re
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer

DURATION_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
SIZE_UNITS: Final = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
DURATION_MAXIMUM: Final = timedelta(days=36_500)
"""What is longer cannot be added to a date of this century; nothing that is configured lasts so long."""

SIZE_MAXIMUM: Final = 2**63 - 1
MEASURE: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*")


def parse_duration(value: Any) -> timedelta:
    """`250ms`, `30s`, `10m`, `2h` or `14d` as a duration; raises `ValueError` for anything else.

    At most a hundred years.
    """
    if isinstance(value, timedelta):
        return value
    number, unit = _split(value, DURATION_UNITS, "a duration such as '30s', '10m' or '14d'")
    seconds = number * DURATION_UNITS[unit]
    if seconds > DURATION_MAXIMUM.total_seconds():
        raise ValueError(f"expected a duration of at most {DURATION_MAXIMUM.days}d, found {value!r}")
    return timedelta(seconds=seconds)


def parse_size(value: Any) -> int:
    """`512KiB`, `10MiB` or `2GB` as bytes; raises `ValueError` for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number, unit = _split(value, SIZE_UNITS, "a size such as '512KiB', '10MiB' or '2GB'")
    if number * SIZE_UNITS[unit] > SIZE_MAXIMUM:
        raise ValueError(f"expected a size of at most {SIZE_MAXIMUM} bytes, found {value!r}")
    return int(number * SIZE_UNITS[unit])


def format_duration(value: timedelta) -> str:
    """The duration in the largest unit that is whole: the inverse of `parse_duration`."""
    milliseconds = round(value.total_seconds() * 1000)
    for unit in ("d", "h", "m", "s"):
        size = int(DURATION_UNITS[unit] * 1000)
        if milliseconds % size == 0 and (milliseconds or unit == "s"):
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def _split(value: Any, units: dict[str, Any], expected: str) -> tuple[float, str]:
    match = MEASURE.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in units:
        raise ValueError(f"expected {expected}, found {value!r}")
    return float(match[1]), match[2]


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration)]
Size = Annotated[int, BeforeValidator(parse_size)]
