"""Alerts, dashboard and alarms name only metrics and labels that there are; each alert is in the runbook."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml
from botocore.validate import validate_parameters

from config.codes import CODES
from worker.metrics.names import METRICS

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
DOCUMENT = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
OF_PROMETHEUS = {"instance", "job", "le"}
OF_THE_SYSTEM = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"}
SELECTOR = re.compile(r"\b(shardworker_\w+|process_\w+|up)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"(?:by|ignoring|on) \(([^)]*)\)")
DURATION = re.compile(r"\d+[smhd]")


def alerts() -> list[dict[str, Any]]:
    text = (ROOT / "infra" / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
    (group,) = yaml.safe_load(text)["groups"]
    assert group["name"] == "shardworker"
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def panels() -> list[dict[str, Any]]:
    dashboard = json.loads((ROOT / "infra" / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = dashboard["panels"]
    return found


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in alerts())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])


def metric_of(name: str) -> str:
    """The metric that a series of a histogram belongs to."""
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return base if base in METRICS and METRICS[base].kind == "histogram" else name


def faults_of(expression: str) -> Iterator[str]:
    """What in an expression is not as it should be."""
    if any(expression.count(one) != expression.count(other) for one, other in ("()", "[]", "{}")):
        yield "brackets do not match"
    labels: set[str] = set(OF_PROMETHEUS)
    for name, matchers in SELECTOR.findall(expression):
        metric = metric_of(name)
        if name != "up" and metric not in METRICS and name not in OF_THE_SYSTEM:
            yield f"no metric {name}"
            continue
        own = set(METRICS[metric].labels) if metric in METRICS else set()
        labels |= own
        yield from (
            f"{name} has no label {label}"
            for label, _ in MATCHER.findall(matchers)
            if label not in own | OF_PROMETHEUS
        )
    for names in GROUPING.findall(expression):
        yield from (f"no metric here has the label {label}" for label in set(names.split(", ")) - labels)


@pytest.mark.parametrize("expression", [*expressions()])
def test_an_expression_names_what_there_is(expression: str) -> None:
    """A metric or label that is not there would be an alert that never comes."""
    assert list(faults_of(expression)) == []


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("shardworker_jobs > 0", "no metric shardworker_jobs"),
        ('shardworker_ready{shard="a"}', "shardworker_ready has no label shard"),
        ("sum by (code) (shardworker_jobs_total)", "no metric here has the label code"),
        ("sum(shardworker_ready", "brackets do not match"),
        ("shardworker_in_hand_bucket", "no metric shardworker_in_hand_bucket"),
    ],
)
def test_a_faulty_expression_is_found_out(expression: str, fault: str) -> None:
    """The check above can fail."""
    assert list(faults_of(expression)) == [fault]


def test_what_is_matched_is_a_value_that_there_is() -> None:
    """A code, role or state that nothing carries would never match."""
    values = {"code": set(CODES), "role": {"request", "response", "failure"}, "job": {"shardworker"}}
    values |= {"state": {"waiting", "leased", "delayed"}, "outcome": {"released", "resent"}}
    for expression in expressions():
        for _, matchers in SELECTOR.findall(expression):
            for label, value in MATCHER.findall(matchers):
                assert set(value.split("|")) <= values[label], expression


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_is_whole_and_told_in_the_runbook(rule: dict[str, Any]) -> None:
    """Whoever is woken finds what it means and what to do under its name."""
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(DURATION, rule.get("for", "1m"))
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
    assert f"### {rule['alert']}\n" in RUNBOOK


def test_the_runbook_tells_of_no_other_alerts_and_of_each_error_code() -> None:
    """Nothing is left over, and nothing is missing."""
    told = re.findall(r"^### (Shardworker\w+)$", RUNBOOK, re.MULTILINE)
    codes = RUNBOOK.split("## Error codes\n", 1)[1]
    named = {name for row in re.findall(r"^\| (`.*?) \|", codes, re.MULTILINE) for name in row.split(", ")}

    assert told == [rule["alert"] for rule in alerts()]
    assert {name.strip("`") for name in named} == set(CODES)


def test_the_document_has_each_metric_as_the_list_has_it() -> None:
    """Name, kind, labels and meaning."""
    rows = re.findall(r"^\| `(shardworker_\w+)` \| (\w+) \| ([^|]*) \| (.*) \|$", DOCUMENT, re.MULTILINE)
    documented = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)), told) for name, kind, labels, told in rows
    }

    assert documented == {name: (one.kind, one.labels, one.meaning) for name, one in METRICS.items()}


def test_names_are_as_prometheus_wants_them() -> None:
    """Counters end in `_total`, histograms tell their unit, gauges do neither of the former."""
    assert all((one.kind == "counter") == name.endswith("_total") for name, one in METRICS.items())
    assert all(name.endswith("_seconds") for name, one in METRICS.items() if one.kind == "histogram")


def test_the_dashboard_shows_every_metric() -> None:
    """In panels that do not lie upon each other."""
    shown = {metric_of(name) for one in expressions() for name, _ in SELECTOR.findall(one)}
    assert set(METRICS) - {"shardworker_queue_away"} <= shown
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels()]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in panels()}) == len(panels())


@pytest.mark.parametrize("name", ["failure-queue-age", "request-queue-age"])
def test_an_alarm_has_the_form_that_cloudwatch_takes(name: str) -> None:
    """As its model has it; the queue and whom to tell are the reader's."""
    alarm = json.loads((ROOT / "infra" / "cloudwatch" / f"{name}.json").read_text(encoding="utf-8"))
    model = botocore.session.get_session().get_service_model("cloudwatch").operation_model("PutMetricAlarm")

    assert model.input_shape is not None
    validate_parameters(alarm, model.input_shape)
    (anchor,) = re.findall(r"docs/runbook\.md#(\w+)", alarm["AlarmDescription"])
    assert anchor in {rule["alert"].lower() for rule in alerts()}
