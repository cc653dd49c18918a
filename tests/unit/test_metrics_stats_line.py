"""The line of figures: what was done since the one before, in a form that CloudWatch makes metrics of."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from tests.support.observed import DONE, ObservedProcess
from worker.metrics.emf import UNITS
from worker.metrics.stats_line import StatsLine

METRIC = {"type": "object", "additionalProperties": False, "required": ["Name"]}
TEXT = {"type": "string", "minLength": 1}
EMF = Draft202012Validator(
    {
        "type": "object",
        "required": ["_aws"],
        "properties": {
            "_aws": {
                "type": "object",
                "required": ["Timestamp", "CloudWatchMetrics"],
                "properties": {
                    "Timestamp": {"type": "integer", "minimum": 1_600_000_000_000},
                    "CloudWatchMetrics": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["Namespace", "Dimensions", "Metrics"],
                            "properties": {
                                "Namespace": {**TEXT, "maxLength": 1024, "pattern": r"^[^:]"},
                                "Dimensions": {
                                    "type": "array",
                                    "minItems": 1,
                                    "items": {"type": "array", "minItems": 1, "maxItems": 30, "items": TEXT},
                                },
                                "Metrics": {
                                    "type": "array",
                                    "minItems": 1,
                                    "maxItems": 100,
                                    "items": {
                                        **METRIC,
                                        "properties": {
                                            "Name": {**TEXT, "maxLength": 1024},
                                            "Unit": {"enum": ["Count", "Milliseconds", "Bytes", "None"]},
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            }
        },
    }
)
"""CloudWatch's embedded metric format, as AWS's specification has it."""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ObservedProcess]:
    with ExitStack() as stack:
        process = ObservedProcess(tmp_path)
        stack.callback(process.close)
        yield process


class TestStatsLine:
    def test_it_tells_what_was_done_since_the_line_before(self, process: ObservedProcess) -> None:
        """Each delivery stands on one line, by what became of it."""
        stats_line = StatsLine(process.assembly, process.state, process.time.clock, emf=False)
        process.tally.note_delivery("job.done", DONE)
        process.tally.note_delivery("job.dead_lettered", {**DONE, "outcome": "failed"})
        process.tally.note_delivery("job.released", {**DONE, "outcome": "released"})
        process.tally.note_part("orders.insert", "retried")
        process.tally.note_request("sqs", "SendMessageBatch")
        process.time.pass_time(60)
        first = process.line(stats_line)
        process.tally.note_delivery("job.done", DONE)
        process.time.pass_time(30)
        second = process.line(stats_line)

        assert interval(first) == {
            "interval_ms": 60_000,
            "interval_settled": 2,
            "interval_failed": 1,
            "interval_released": 1,
            "interval_dead_lettered": 1,
            "interval_attempts": 1,
            "interval_requests": {"SendMessageBatch": 1},
        }
        assert {name: value for name, value in interval(second).items() if value} == {
            "interval_ms": 30_000,
            "interval_settled": 1,
        }
        assert "_aws" not in first

    def test_cloudwatch_s_form_is_as_cloudwatch_wants_it(self, process: ObservedProcess) -> None:
        """Each metric and dimension that it names stands on the line, a number and a text."""
        line = process.line(StatsLine(process.assembly, process.state, process.time.clock, emf=True))
        EMF.validate(line)
        (directive,) = line["_aws"]["CloudWatchMetrics"]

        assert {metric["Name"] for metric in directive["Metrics"]} == set(UNITS)
        assert all(type(line[metric["Name"]]) in {int, float} for metric in directive["Metrics"])
        assert all(isinstance(line[name], str) for names in directive["Dimensions"] for name in names)

    def test_the_schema_can_fail(self, process: ObservedProcess) -> None:
        """A hundred and one metrics are too many."""
        line = process.line(StatsLine(process.assembly, process.state, process.time.clock, emf=True))
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        directive["Metrics"] = [{"Name": f"m{number}"} for number in range(101)]
        with pytest.raises(ValidationError):
            EMF.validate(line)


def interval(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name.startswith("interval_")}
