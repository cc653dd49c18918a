"""How a line of the log is shown to people: aligned, in colours on a terminal, without what is as usual."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from worker.cli.logs_filters import duration_ms
from worker.log_fields import FIELDS
from worker.log_lines import printable

EVENT_COLUMNS: Final = 18
LEVEL_COLUMNS: Final = 7
JOB_COLUMNS: Final = 26
OUTCOME_COLUMNS: Final = 9
DATE_CHARACTERS: Final = len("2026-11-21")
CLOCK_END: Final = len("2026-11-21T10:00:00.123")
SECOND_MS: Final = 1000
MINUTE_MS: Final = 60 * SECOND_MS

RED, GREEN, YELLOW, DIM, BOLD = "31", "32", "33", "2", "1"
LEVEL_STYLES: Final = {"debug": DIM, "info": GREEN, "warning": YELLOW, "error": RED}
OUTCOME_STYLES: Final = {
    "succeeded": GREEN,
    "partial": YELLOW,
    "released": YELLOW,
    "failed": RED,
    "rejected": RED,
    "unanswered": RED,
}
HEAD: Final = ("ts", "level", "event", "job", "outcome")
FIRST: Final = ("customer", "error_code", "msg", "partner", "type", "total_ms")
APART: Final = "stack"
ONLY_IN_FULL: Final = frozenset({"message_id", "configuration", "trace_id", "sqs_requests"})
USUAL: Final[Mapping[str, Any]] = {
    "run": 1,
    "receive_count": 1,
    "attempt": 0,
    "copy": False,
    "lease_lost": False,
    "s3_requests": 0,
}
"""Values that tell nothing."""


class Painter:
    """Makes lines for people of the fields of lines; with `full`, also of what is as usual."""

    def __init__(self, *, colours: bool, full: bool) -> None:
        self._colours = colours
        self._full = full
        self._day = ""
        self._labels: dict[str, str] = {}

    def lines(self, fields: Mapping[str, Any]) -> Iterator[str]:
        """The line; before it the date where that is another one than the last line's, below it the stack."""
        day, clock = _local_time(fields.get("ts"))
        if day != self._day:
            self._day = day
            yield self.paint(f"-- {day} --", BOLD)
        yield "  ".join((self.paint(clock, DIM), *self._head(fields), *self._rest(fields))).rstrip()
        if fields.get(APART):
            yield self.paint(f"    {printable(str(fields[APART]))}", DIM)

    def raw(self, text: str) -> str:
        """A line that is none of the worker's, as it came."""
        return self.paint(printable(text.replace("\t", "    ")), DIM)

    def paint(self, text: str, style: str) -> str:
        """The text in a style, where there are colours."""
        return f"\x1b[{style}m{text}\x1b[0m" if self._colours and style else text

    def _head(self, fields: Mapping[str, Any]) -> Iterator[str]:
        level, event = str(fields.get("level", "")), str(fields.get("event", ""))
        yield self.paint(f"{printable(level):{LEVEL_COLUMNS}}", LEVEL_STYLES.get(level, ""))
        yield self.paint(f"{printable(event):{EVENT_COLUMNS}}", BOLD)
        if fields.get("job"):
            yield f"{printable(str(fields['job'])):{JOB_COLUMNS}}"
        if fields.get("outcome"):
            outcome = str(fields["outcome"])
            yield self.paint(f"{printable(outcome):{OUTCOME_COLUMNS}}", OUTCOME_STYLES.get(outcome, ""))

    def _rest(self, fields: Mapping[str, Any]) -> Iterator[str]:
        first = {name: fields[name] for name in FIRST if name in fields}
        for name, value in {**first, **fields}.items():
            if name in HEAD or name == APART or not self._tells(name, value):
                continue
            if name == "msg":
                yield printable(str(value))
            elif name == "data" and isinstance(value, dict):
                yield from (self._field(f"data.{inner}", entry) for inner, entry in value.items())
            else:
                yield self._field(name, value)

    def _tells(self, name: str, value: Any) -> bool:
        if self._full:
            return True
        return value is not None and value != [] and name not in ONLY_IN_FULL and USUAL.get(name) != value

    def _field(self, name: str, value: Any) -> str:
        label = self._labels.get(name) or self._label(name)
        milliseconds = duration_ms(value) if name.endswith("_ms") else None
        if milliseconds is not None:
            return label + duration_text(milliseconds)
        return label + self.paint(printable(_text(value)), RED if name == "error_code" else "")

    def _label(self, name: str) -> str:
        """The field's name as it is shown; those that the worker writes itself are made once."""
        label = self.paint(f"{printable(name.removesuffix('_ms'))}=", DIM)
        if name in FIELDS:
            self._labels[name] = label
        return label


def duration_text(milliseconds: float) -> str:
    """A duration for people: `18.4ms`, `2.31s`, `12.5m`."""
    if milliseconds < SECOND_MS:
        return f"{milliseconds:.4g}ms"
    if milliseconds < 2 * MINUTE_MS:
        return f"{milliseconds / SECOND_MS:.2f}s"
    return f"{milliseconds / MINUTE_MS:.1f}m"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if " " in value or not value else value
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return ",".join(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _local_time(text: Any) -> tuple[str, str]:
    """Date and clock time here; the text as it is where it is no time."""
    try:
        moment = datetime.fromisoformat(str(text)).astimezone().isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return "no date", printable(str(text))
    return moment[:DATE_CHARACTERS], moment[DATE_CHARACTERS + 1 : CLOCK_END]
