"""How files of rows are written: encodings, separators and forms of dates, as they can be configured."""

import codecs
from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator

NO_SEPARATORS: Final = frozenset('"\r\n\0\x02')
EXAMPLE: Final = datetime(2026, 11, 21, 13, 14, 15)  # noqa: DTZ001 - only its form counts


def _check_encoding(name: str) -> str:
    try:
        "a".encode(codecs.lookup(name).name)
    except (LookupError, UnicodeError):
        raise ValueError("expected an encoding of text that Python knows, as in utf-8 or cp1252") from None
    return name


def _check_separator(separator: str) -> str:
    if len(separator) != 1 or not separator.isascii() or separator in NO_SEPARATORS or separator.isalnum():
        raise ValueError("expected one ASCII character that is no letter, digit or quote")
    return separator


def _check_date_form(form: str) -> str:
    try:
        read = datetime.strptime(EXAMPLE.strftime(form), form)  # noqa: DTZ007 - only its form counts
        is_whole = read.date() == EXAMPLE.date()
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ValueError("expected a form of strptime with day, month and year, as in %d.%m.%Y")
    return form


Encoding = Annotated[str, AfterValidator(_check_encoding)]
Separator = Annotated[str, AfterValidator(_check_separator)]
DateForm = Annotated[str, AfterValidator(_check_date_form)]
