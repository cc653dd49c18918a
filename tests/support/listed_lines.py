"""Whether lines of the log are as the closed lists of events and fields say."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from worker.events import ALWAYS, EVENTS, unknown_fields
from worker.log_fields import FIELDS, Kind
from worker.log_lines import LINE_BYTES_MAXIMUM


def assert_listed(lines: Iterable[Mapping[str, Any]]) -> None:
    """Each line is of a listed event, has one of its levels, and its fields have their forms."""
    faults = {(str(line.get("event")), fault) for line in lines for fault in faults_of(line)}
    assert not faults, f"lines that worker/events.py and worker/log_fields.py do not list: {sorted(faults)}"


def faults_of(line: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the line."""
    known = EVENTS.get(str(line.get("event")))
    if known is None:
        yield "the event is not listed"
        return
    yield from (f"{name} is missing" for name in sorted(ALWAYS - line.keys()))
    yield from (f"{name} is not listed" for name in sorted(unknown_fields(line["event"], frozenset(line))))
    if line.get("level") not in known.levels:
        yield f"the level {line.get('level')} is not listed"
    if len(json.dumps(line, separators=(",", ":"))) > LINE_BYTES_MAXIMUM:
        yield "the line is too long"
    for name, value in line.items():
        if name in FIELDS and not _has_form(value, FIELDS[name].kind):
            yield f"{name} is no {FIELDS[name].kind}: {value!r}"


def _has_form(value: Any, kind: Kind) -> bool:
    return value is None or FORMS[kind](value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


FORMS: Final[dict[Kind, Callable[[Any], bool]]] = {
    "text": lambda value: isinstance(value, str),
    "whole": lambda value: _is_number(value) and isinstance(value, int),
    "number": _is_number,
    "flag": lambda value: isinstance(value, bool),
    "texts": lambda value: isinstance(value, list) and all(isinstance(entry, str) for entry in value),
    "object": lambda value: isinstance(value, dict),
}
