"""Patterns of texts that databases and Python surely read alike: what matches needs no other look."""

import re
from collections.abc import Iterable
from typing import Final

# Spelt out to the leap year: what a pattern lets through, nobody else may have to refuse.
YEAR: Final = r"(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
LEAP_YEAR: Final = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
MONTH_AND_DAY: Final = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
DAY: Final = f"(?:{YEAR}-{MONTH_AND_DAY}|{LEAP_YEAR}-02-29)"
CLOCK: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
LOCAL_MOMENT: Final = f"{DAY}[T ]{CLOCK}"
MOMENT: Final = f"{LOCAL_MOMENT}Z?"
ZONE: Final = "(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])"
ZONED_MOMENT: Final = f"{LOCAL_MOMENT}{ZONE}"
FLOAT: Final = r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?(?:[eE][+-]?[0-9]{1,2})?"
BOOLEAN: Final = r"[Tt]rue|[Ff]alse|1|0"
UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def integer_pattern(lowest: int, highest: int) -> str:
    """Whole numbers without zeros in front; `lowest` is 0, or the opposite of `highest` and one less."""
    positive = "|".join(["0", *_up_to(highest)])
    return f"-?0|{positive}" if lowest == 0 else f"-?(?:{positive})|{lowest}"


def decimal_pattern(before: int, behind: int) -> str:
    """Numbers with at most so many digits before and behind the point."""
    fraction = rf"(?:\.[0-9]{{1,{behind}}})?" if behind else ""
    return rf"-?[0-9]{{1,{before}}}{fraction}"


def choice_pattern(choices: Iterable[str]) -> str:
    """One of these texts."""
    return "|".join(map(re.escape, sorted(choices)))


def _up_to(highest: int) -> Iterable[str]:
    digits = str(highest)
    if len(digits) > 1:
        yield rf"[1-9][0-9]{{0,{len(digits) - 2}}}"
    for place, digit in enumerate(digits):
        # as many digits as the highest has, and the first that differs is a smaller one
        lower = range(0 if place else 1, int(digit))
        if lower:
            yield rf"{digits[:place]}[{lower[0]}-{lower[-1]}][0-9]{{{len(digits) - place - 1}}}"
    yield digits
