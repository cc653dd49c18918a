"""The closed lists of events and fields: the documentation, the code and what is written agree with them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.listed_lines import faults_of
from worker.events import ALWAYS, EVENTS, SOMETIMES, unknown_fields
from worker.log_fields import FIELDS, KINDS, ecs_name, otel_name

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
DONE = {"ts": "2026-11-21T10:00:00.123Z", "level": "info", "event": "job.done"}


def table_under(heading: str) -> Iterator[list[str]]:
    section = DOCUMENT.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    for line in section.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def written_lines() -> Iterator[tuple[str, str, str, frozenset[str]]]:
    """Place, event, level and fields of each call in worker/ that writes a line of a fixed event."""
    for path in sorted((ROOT / "worker").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and (found := event_and_method_of(node)):
                event, method = found
                fields = frozenset(keyword.arg for keyword in node.keywords if keyword.arg) - {"exc_info"}
                yield f"{path.name}:{node.lineno}", event, method, fields


def event_and_method_of(call: ast.Call) -> tuple[str, str] | None:
    first = call.args[0] if call.args else None
    if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
        return None
    is_event = re.fullmatch(r"[a-z0-9]+\.[a-z_]+", first.value)
    if (
        not is_event
        or not isinstance(call.func, ast.Attribute)
        or call.func.attr not in {*LEVELS, "critical"}
    ):
        return None
    return first.value, call.func.attr


def test_the_document_and_the_list_hold_the_same_events() -> None:
    """An operator can rely on the table: nothing more and nothing less is written."""
    documented = {
        cells[0].strip("`"): (
            tuple(cells[1].split(", ")),
            cells[2],
            frozenset(re.findall(r"`(\w+)`", cells[3])),
        )
        for cells in table_under("Events")
    }

    assert documented == {name: tuple(event) for name, event in EVENTS.items()}


def test_the_document_and_the_list_hold_the_same_fields() -> None:
    """A field has one meaning and one form wherever it stands."""
    documented = {cells[0].strip("`"): cells[1:] for cells in table_under("Fields")}

    assert documented == {name: [KINDS[field.kind], field.meaning] for name, field in FIELDS.items()}


def test_the_document_names_each_field_as_others_do() -> None:
    """Whoever keeps logs in Elastic or by OpenTelemetry finds each field's name there."""
    documented = {cells[0].strip("`"): cells[1:] for cells in table_under("Names elsewhere")}

    assert documented == {name: [f"`{ecs_name(name)}`", f"`{otel_name(name)}`"] for name in FIELDS}


@pytest.mark.parametrize("name_elsewhere", [ecs_name, otel_name])
def test_no_two_fields_have_the_same_name_elsewhere(name_elsewhere: Any) -> None:
    """Neither takes the other's place, and none is both a value and the parent of another."""
    names = sorted(name_elsewhere(name) for name in FIELDS)

    assert len(set(names)) == len(names)
    assert not [(one, other) for one in names for other in names if other.startswith(f"{one}.")]


def test_fields_and_events_need_each_other() -> None:
    """Each field that an event may carry is listed, and each listed one is carried by some event."""
    carried = frozenset().union(ALWAYS, SOMETIMES, *(event.fields for event in EVENTS.values()))

    assert carried == FIELDS.keys()


def test_durations_tell_their_unit() -> None:
    """What is a number and no count is in milliseconds, and its name says so; shares of requests aside."""
    numbers = {name for name, field in FIELDS.items() if field.kind == "number"} - {"sqs_requests"}

    assert numbers == {name for name in FIELDS if name.endswith("_ms")}


def test_the_code_writes_only_what_is_listed() -> None:
    """A new event, level or field comes into the list, and so the document, with the line that writes it."""
    strangers = {
        place: (event, method, sorted(unknown_fields(event, fields)))
        for place, event, method, fields in written_lines()
        if event not in EVENTS
        or LEVELS.get(method) not in EVENTS[event].levels
        or unknown_fields(event, fields)
    }

    assert strangers == {}


def test_each_listed_event_is_written_somewhere() -> None:
    """An event that nothing writes any more is taken off the list."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "worker").rglob("*.py"))
    sources = sources.replace((ROOT / "worker" / "events.py").read_text(encoding="utf-8"), "")

    assert [name for name in EVENTS if f'"{name}"' not in sources] == []


def test_fields_of_an_unlisted_event_are_all_unknown() -> None:
    """A line of an event that is not on the list is never taken for a known one."""
    assert unknown_fields("job.vanished", frozenset({"job"})) == {"job"}
    assert unknown_fields("job.done", frozenset({"job", "total_ms", "mood"})) == {"mood"}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ({**DONE, "job": "j1", "total_ms": 1, "copy": False, "shards": ["a"], "error_code": None}, None),
        ({**DONE, "event": "job.vanished"}, "the event is not listed"),
        ({"event": "job.done", "level": "info"}, "ts is missing"),
        ({**DONE, "mood": 1}, "mood is not listed"),
        ({**DONE, "level": "error"}, "the level error is not listed"),
        ({**DONE, "job": "j" * 20_000}, "the line is too long"),
        ({**DONE, "run": "1"}, "run is no whole: '1'"),
        ({**DONE, "run": True}, "run is no whole: True"),
        ({**DONE, "total_ms": "1"}, "total_ms is no number: '1'"),
        ({**DONE, "copy": 0}, "copy is no flag: 0"),
        ({**DONE, "shards": "a"}, "shards is no texts: 'a'"),
        ({**DONE, "event": "handler.log", "data": []}, "data is no object: []"),
        ({**DONE, "job": 1}, "job is no text: 1"),
    ],
)
def test_a_line_that_is_not_as_listed_is_found_out(line: dict[str, Any], fault: str | None) -> None:
    """What real workers write in other tests is looked at by this check."""
    assert list(faults_of(line)) == ([] if fault is None else [fault])
