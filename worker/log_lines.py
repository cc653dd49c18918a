"""The form of a log line: cleaned of secrets, its exceptions flat, of bounded size, as JSON or for people."""

import json
import math
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from itertools import islice
from pathlib import PurePath
from types import FrameType, NoneType
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog

from config.masking import mask_credentials

LINE_BYTES_MAXIMUM: Final = 16 * 1024
"""journald splits lines above 48 KiB, which breaks their JSON; other collectors split earlier."""

DEPTH_MAXIMUM: Final = 6
ENTRIES_MAXIMUM: Final = 1000
TEXT_CHARACTERS_SHORTENED: Final = 200
ENTRIES_SHORTENED: Final = 20
FRAMES_MAXIMUM: Final = 8
CAUSES_MAXIMUM: Final = 3
FIRST_FIELDS: Final = ("ts", "level", "event")
LEADING_FIELDS: Final = (*FIRST_FIELDS, "job", "customer", "run", "partner", "type", "outcome", "error_code")

SECRET_NAMES: Final = (
    "receipt", "receipthandle", "body", "payload", "password", "passwd", "secret", "token", "credential",
    "authorization", "cookie", "apikey", "accesskey", "privatekey", "dsn",
)  # fmt: skip
NOT_IN_NAMES: Final = re.compile(r"[^a-z]")
UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

ENCODER: Final = json.JSONEncoder(separators=(",", ":"))
FAST_ENCODER: Final = msgspec.json.Encoder()
AS_THEY_ARE: Final = (int, NoneType)
CONTAINERS: Final = (dict, list, tuple, set, frozenset, Mapping)
SCALAR_FORMS: Final[tuple[tuple[Any, Callable[[Any], Any]], ...]] = (
    (datetime, datetime.isoformat),
    (timedelta, timedelta.total_seconds),
    (Enum, lambda value: str(value.value)),
    (Decimal | UUID | PurePath, str),
)
"""How a value of another simple type is written."""


@lru_cache(maxsize=4096)
def is_secret(name: str) -> bool:
    """Whether a field of this name is never written: `receipt_handle`, `payload`, `db_password`, `apiKey`."""
    return NOT_IN_NAMES.sub("", name.lower()).rstrip("s").endswith(SECRET_NAMES)


def clean(value: Any, depth: int = 0) -> Any:
    """The value as JSON can carry it, without secret fields and without credentials in URLs.

    What is of an unknown type is named by its type only: its text could hold anything.
    """
    # In the order of how often they come: this runs for each field of each line.
    if isinstance(value, str):
        return mask_credentials(str(value))
    if isinstance(value, AS_THEY_ARE):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, CONTAINERS):
        return "…" if depth >= DEPTH_MAXIMUM else _clean_entries(value, depth + 1)
    for kind, form in SCALAR_FORMS:
        if isinstance(value, kind):
            return form(value)
    return f"<{_type_name(type(value))}>"


def flatten_exception(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`exc_info`, an exception or True for the one in hand, as `error_type` and `stack`.

    The stack holds files, lines and functions, never a value or an exception's message.
    """
    flat = dict(fields)
    given = flat.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given
    if isinstance(error, BaseException):
        flat["error_type"] = _type_name(type(error))
        flat["stack"] = _stack(error)
    return flat


def stack_text(frames: Iterable[tuple[FrameType, int]], maximum: int = FRAMES_MAXIMUM) -> str:
    """The innermost frames, given with their lines and the outermost first: files, lines and functions."""
    # Without source lines: reading files for a log line costs, and a source line can hold a literal.
    places = [
        f"{'/'.join(PurePath(frame.f_code.co_filename).parts[-2:])}:{line} {frame.f_code.co_name}"
        for frame, line in frames
    ]
    return " > ".join(places[-maximum:])


def to_json(fields: Mapping[str, Any]) -> str:
    """The cleaned fields as a line of ASCII JSON of at most 16 KiB; one cut to size has `truncated`."""
    line = _encode(fields)
    return line if len(line) <= LINE_BYTES_MAXIMUM else _encode(_fit(fields))


def to_text(fields: Mapping[str, Any], *, colours: bool) -> str:
    """The cleaned fields as a line for people: local clock time, level, event, then `name=value`."""
    shown = {name: printable(value) if isinstance(value, str) else value for name, value in fields.items()}
    shown["ts"] = datetime.fromisoformat(fields["ts"]).astimezone().strftime("%H:%M:%S.%f")[:-3]
    renderer = structlog.dev.ConsoleRenderer(
        colors=colours, sort_keys=False, timestamp_key="ts", pad_event_to=18
    )
    return str(renderer(None, "", shown))


def printable(text: str) -> str:
    """The text with control characters escaped, so that it can neither steer a terminal nor break a line."""
    if text.isprintable():
        return text
    return UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)


def in_order(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with time, level and event first, then what tells which job it is and how it ended."""
    first = {name: fields[name] for name in LEADING_FIELDS if name in fields}
    return {**first, **fields}


def _clean_entries(value: Any, depth: int) -> Any:
    entries = list(islice(value.items() if isinstance(value, Mapping) else value, ENTRIES_MAXIMUM))
    if isinstance(value, Mapping):
        return {str(name): clean(entry, depth) for name, entry in entries if not is_secret(str(name))}
    return [clean(entry, depth) for entry in entries]


def _type_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _stack(error: BaseException) -> str:
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(parts) < CAUSES_MAXIMUM:
        parts.append(f"{_type_name(type(cause))}: {stack_text(traceback.walk_tb(cause.__traceback__))}")
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return " | caused by ".join(parts)


def _encode(fields: Mapping[str, Any]) -> str:
    # Nearly every line is ASCII already, and made in a fifth of the time.
    try:
        line = FAST_ENCODER.encode(fields)
    except (OverflowError, UnicodeError):
        return ENCODER.encode(fields)
    return line.decode("ascii") if line.isascii() else ENCODER.encode(fields)


def _fit(fields: Mapping[str, Any]) -> dict[str, Any]:
    kept = {**fields, "truncated": True}
    sizes = {name: len(_encode({name: value})) for name, value in fields.items() if name not in FIRST_FIELDS}
    largest_first = sorted(sizes, key=lambda name: sizes[name], reverse=True)
    for change in (_shorten, _drop):
        for name in largest_first:
            if len(_encode(kept)) <= LINE_BYTES_MAXIMUM:
                return kept
            change(kept, name)
    return kept


def _shorten(fields: dict[str, Any], name: str) -> None:
    fields[name] = _shortened(fields[name])


def _shortened(value: Any) -> Any:
    if isinstance(value, str) and len(value) > TEXT_CHARACTERS_SHORTENED:
        return f"{value[:TEXT_CHARACTERS_SHORTENED]}…"
    if isinstance(value, list):
        return [_shortened(entry) for entry in value[:ENTRIES_SHORTENED]]
    if isinstance(value, dict):
        return {key: _shortened(entry) for key, entry in islice(value.items(), ENTRIES_SHORTENED)}
    return value


def _drop(fields: dict[str, Any], name: str) -> None:
    del fields[name]
