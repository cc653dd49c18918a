"""The ingest pipeline for Elasticsearch: every field of a line comes out under its name in ECS."""

import json
from pathlib import Path
from typing import Any

from tests.support.sample_lines import DONE
from worker.log_fields import FIELDS, ecs_name

PIPELINE = json.loads(
    (Path(__file__).parents[2] / "infra" / "logs" / "elastic-pipeline.json").read_text(encoding="utf-8")
)


def ingest(document: dict[str, Any]) -> dict[str, Any]:
    """What Elasticsearch makes of a document, for the processors that the pipeline uses, by dotted names."""
    is_ours = document["message"].startswith('{"ts"')
    for processor in PIPELINE["processors"]:
        ((kind, options),) = processor.items()
        field = options["field"]
        if kind == "json" and is_ours:
            line = json.loads(document[field])
            document |= {f"{options['target_field']}.{name}": value for name, value in line.items()}
        elif kind == "date" and is_ours:
            document["@timestamp"] = document[field]
        elif kind == "set" and document.get(options["copy_from"]) not in (None, ""):
            document[field] = document[options["copy_from"]]
        elif kind == "remove" and is_ours:
            document = {name: value for name, value in document.items() if not _is_in(name, field)}
    return document


def _is_in(name: str, fields: str | list[str]) -> bool:
    """Whether a dotted name is one of the fields, or below one of them."""
    return any(
        name == one or name.startswith(f"{one}.") for one in ([fields] if isinstance(fields, str) else fields)
    )


def test_every_field_has_its_name_in_ecs() -> None:
    """None is lost, and none stays behind under its own name."""
    line = {name: f"value of {name}" for name in FIELDS}

    assert ingest({"message": json.dumps(line)}) == {ecs_name(name): value for name, value in line.items()}


def test_a_line_that_is_none_of_the_worker_s_stays_as_it_is() -> None:
    """What systemd or Python itself writes."""
    for message in ("Traceback (most recent call last):", json.dumps({"other": 1})):
        assert ingest({"message": message}) == {"message": message}


def test_a_worker_s_line_begins_as_the_pipeline_looks_for_it() -> None:
    """By its first field."""
    condition = PIPELINE["processors"][0]["json"]["if"]

    assert json.dumps(DONE, separators=(",", ":")).startswith('{"ts"')
    assert "ctx.message.startsWith('{\"ts\"')" in condition
