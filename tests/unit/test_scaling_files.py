"""The files for scaling are what AWS takes: policy, lifecycle hook, and the metric of waiting times."""

import json
import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import validate_parameters

from worker.ec2.auto_scaling import TERMINATING
from worker.events import EVENTS

ROOT = Path(__file__).parents[2]
METRIC_CONDITION = re.compile(r'\$\.(\w+) (?:=|>=) "?([\w.]+)"?')


def read(name: str) -> Any:
    return json.loads((ROOT / "infra" / "scaling" / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "service", "operation", "around"),
    [
        (
            "backlog-per-instance.json",
            "autoscaling",
            "PutScalingPolicy",
            lambda content: {
                "AutoScalingGroupName": "workers",
                "PolicyName": "backlog",
                "TargetTrackingConfiguration": content,
            },
        ),
        ("lifecycle-hook.json", "autoscaling", "PutLifecycleHook", lambda content: content),
        ("queue-wait-metric.json", "logs", "PutMetricFilter", lambda content: content),
    ],
)
def test_a_file_has_the_form_that_its_call_takes(
    name: str, service: str, operation: str, around: Any
) -> None:
    """As the service's own model has it: names, types, and what is required."""
    model = botocore.session.get_session().get_service_model(service).operation_model(operation)

    assert model.input_shape is not None
    validate_parameters(around(read(name)), model.input_shape)


def test_the_policy_s_formula_uses_its_own_metrics_and_returns_one_value() -> None:
    """Auto Scaling takes one time series; a machine count of zero must not divide."""
    metrics = read("backlog-per-instance.json")["CustomizedMetricSpecification"]["Metrics"]
    expressions = [metric for metric in metrics if "Expression" in metric]
    (formula,) = expressions

    assert [metric["Id"] for metric in metrics if metric["ReturnData"]] == [formula["Id"]]
    inputs = {metric["Id"] for metric in metrics if "MetricStat" in metric}
    assert set(re.findall(r"[a-z]+", formula["Expression"])) == inputs
    assert "IF(machines > 0," in formula["Expression"]


def test_the_hook_is_for_machines_that_leave_and_lets_them_go_in_the_end() -> None:
    """The watcher finds it by its transition; without the watcher the machine goes after the timeout."""
    hook = read("lifecycle-hook.json")

    assert hook["LifecycleTransition"] == TERMINATING
    assert hook["DefaultResult"] == "CONTINUE"


def test_the_metric_is_made_of_fields_that_the_log_has() -> None:
    """An event or field that the log does not write would be a metric without a value."""
    metric = read("queue-wait-metric.json")
    conditions = dict(METRIC_CONDITION.findall(metric["filterPattern"]))
    (transformation,) = metric["metricTransformations"]

    assert conditions["event"] in EVENTS
    value = transformation["metricValue"].removeprefix("$.")
    assert value in EVENTS[conditions["event"]].fields
    assert value in conditions
