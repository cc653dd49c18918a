"""The section `[rate_limits]`: how many parts may go to their shards in a time, such as `100/s`."""

import re
from datetime import timedelta
from typing import Annotated, Any, Final, NamedTuple

from pydantic import BeforeValidator, PlainSerializer

from config.measures import DURATION_UNITS, format_duration, parse_duration
from config.section import Section

UNLIMITED: Final = "unlimited"
PARTS_MAXIMUM: Final = 1_000_000
PERIOD_MAXIMUM: Final = timedelta(days=1)
RATE: Final = re.compile(r"\s*([0-9]{1,7})\s*/\s*([0-9]+(?:\.[0-9]+)?)?\s*(ms|s|m|h|d)\s*")
ONE: Final = frozenset(f"1{unit}" for unit in DURATION_UNITS)
FORM: Final = "a rate such as '100/s', '5/m' or '20/10s', or 'unlimited'"


class Rate(NamedTuple):
    """So many parts in a period. As many may go at once; after them one for each share of the period."""

    parts: int
    period: timedelta


def parse_rate(value: Any) -> Rate | None:
    """`100/s`, `5/m` or `20/10s` as a rate, None for `unlimited`; raises `ValueError` for anything else."""
    if value is None or isinstance(value, Rate) or value == UNLIMITED:
        return None if value == UNLIMITED else value
    match = RATE.fullmatch(value) if isinstance(value, str) else None
    rate = None if match is None else Rate(int(match[1]), parse_duration(f"{match[2] or 1}{match[3]}"))
    if rate is None or not (0 < rate.parts <= PARTS_MAXIMUM and _is_period(rate.period)):
        raise ValueError(f"expected {FORM}, found {value!r}")
    return rate


def format_rate(rate: Rate | None) -> str:
    """The rate as the file writes it: the inverse of `parse_rate`."""
    if rate is None:
        return UNLIMITED
    period = format_duration(rate.period)
    return f"{rate.parts}/{period[1:] if period in ONE else period}"


def _is_period(period: timedelta) -> bool:
    return timedelta(milliseconds=1) <= period <= PERIOD_MAXIMUM


RateLimit = Annotated[Rate | None, BeforeValidator(parse_rate), PlainSerializer(format_rate)]


class RateLimits(Section):
    """`[rate_limits]`: for each request queue, partner and customer, and for some of them by name."""

    queue: RateLimit = None
    partner: RateLimit = None
    customer: RateLimit = None
    queues: dict[str, RateLimit] = {}
    partners: dict[str, RateLimit] = {}
    customers: dict[str, RateLimit] = {}
