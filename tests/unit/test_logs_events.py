"""The closed list of events: the documentation and the code agree with it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from worker.events import ALWAYS, EVENTS, SOMETIMES, unknown_fields

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
METHODS = {"debug", "info", "warning", "error", "exception"}


def table_under(heading: str) -> Iterator[list[str]]:
    section = DOCUMENT.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    for line in section.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def written_lines() -> Iterator[tuple[str, str, frozenset[str]]]:
    """Place, event and fields of each call in worker/ that writes a line of a fixed event."""
    for path in sorted((ROOT / "worker").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and (event := event_of(node)):
                fields = frozenset(keyword.arg for keyword in node.keywords if keyword.arg) - {"exc_info"}
                yield f"{path.name}:{node.lineno}", event, fields


def event_of(call: ast.Call) -> str | None:
    first = call.args[0] if call.args else None
    if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
        return None
    is_log = isinstance(call.func, ast.Attribute) and call.func.attr in METHODS
    is_event = re.fullmatch(r"[a-z]+\.[a-z_]+", first.value)
    return first.value if is_log and is_event else None


def test_the_document_and_the_list_hold_the_same_events_and_fields() -> None:
    """An operator can rely on the table: nothing more and nothing less is written."""
    documented = {
        cells[0].strip("`"): (cells[1], frozenset(re.findall(r"`(\w+)`", cells[2])))
        for cells in table_under("Events")
    }

    assert documented == {name: tuple(event) for name, event in EVENTS.items()}


def test_each_field_is_explained_once() -> None:
    """A field has one meaning wherever it stands."""
    explained = [cells[0].strip("`") for cells in table_under("Fields")]
    known = frozenset().union(ALWAYS, SOMETIMES, *(event.fields for event in EVENTS.values()))

    assert sorted(explained) == sorted(known)


def test_the_code_writes_only_listed_events_with_listed_fields() -> None:
    """A new event or field is added to the list, and so to the document, with the line that writes it."""
    strangers = {
        place: (event, sorted(unknown_fields(event, fields)))
        for place, event, fields in written_lines()
        if event not in EVENTS or unknown_fields(event, fields)
    }

    assert strangers == {}


def test_fields_of_an_unlisted_event_are_all_unknown() -> None:
    """A line of an event that is not on the list is never taken for a known one."""
    assert unknown_fields("job.vanished", frozenset({"job"})) == {"job"}
    assert unknown_fields("job.done", frozenset({"job", "total_ms", "mood"})) == {"mood"}
