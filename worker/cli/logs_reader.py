"""Goes through the log line by line: what is shown of it, and what is summed up."""

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final

import msgspec

from worker.cli.logs_filters import Filters
from worker.cli.logs_lines import Painter
from worker.cli.logs_sources import Batch
from worker.cli.logs_summary import Summary

UNREADABLE: Final = (msgspec.DecodeError, RecursionError, UnicodeError)

NESTING_MAXIMUM: Final = 100
"""More is no line of the worker's; at about ten times as much Python cannot write a value any more."""


class LogReader:
    """Takes raw lines, tells which are meant, and gathers the summary of those."""

    def __init__(self, filters: Filters, painter: Painter, *, as_json: bool, is_quiet: bool) -> None:
        self.summary = Summary()
        self._tests = filters.tests()
        self._needles = filters.needles()
        self._painter = painter
        self._as_json = as_json
        self._is_quiet = is_quiet
        self._decode = msgspec.json.Decoder().decode

    def copy(self, batches: Iterable[Batch], target: BinaryIO) -> None:
        """Write what is to be seen of each batch at once; raises `BrokenPipeError`."""
        for batch in batches:
            for raw in batch:
                target.writelines(line + b"\n" for line in self.shown(raw))
            target.flush()

    def shown(self, raw: bytes) -> Iterator[bytes]:
        """What is shown for a line as it came: nothing where it is not meant."""
        if any(needle not in raw for needle in self._needles):
            return
        fields = self._fields(raw)
        if fields is None:
            yield from self._foreign(raw)
        elif all(test(fields) for test in self._tests):
            self.summary.add(fields)
            if self._as_json:
                yield raw
            elif not self._is_quiet:
                yield from (line.encode(errors="replace") for line in self._painter.lines(fields))

    def _fields(self, raw: bytes) -> dict[str, Any] | None:
        """The line's fields; None where it is none of the worker's."""
        if not raw.startswith(b"{"):
            return None
        try:
            fields = self._decode(raw)
        except UNREADABLE:
            return None
        if not isinstance(fields, dict) or _is_too_deep(raw, fields):
            return None
        return fields if isinstance(fields.get("event"), str) else None

    def _foreign(self, raw: bytes) -> Iterator[bytes]:
        if raw and not self._tests:
            self.summary.foreign += 1
            if not self._as_json and not self._is_quiet:
                yield self._painter.raw(raw.decode(errors="replace")).encode(errors="replace")


def _is_too_deep(raw: bytes, fields: dict[str, Any]) -> bool:
    if raw.count(b"[") + raw.count(b"{") <= NESTING_MAXIMUM:
        return False
    level: list[Any] = [fields]
    for _ in range(NESTING_MAXIMUM):
        level = [inner for value in level for inner in _inside(value)]
    return bool(level)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
