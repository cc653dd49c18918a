"""CloudWatch's embedded metric format: what lets CloudWatch make metrics of a log line's fields."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

NAMESPACE: Final = "shardworker"
SERVICE: Final = "worker"
UNITS: Final[dict[str, str]] = {
    "in_hand": "Count",
    "waiting": "Count",
    "away_count": "Count",
    "oldest_ms": "Milliseconds",
    "interval_settled": "Count",
    "interval_failed": "Count",
    "interval_released": "Count",
    "interval_dead_lettered": "Count",
    "interval_attempts": "Count",
}
"""The fields that become metrics, with their units as CloudWatch names them; CloudWatch takes a hundred."""


def emf_metadata(fields: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """What stands on the line beside these fields.

    The one dimension is the same for all processes: a metric for each of them would cost money for each.
    """
    metrics = [{"Name": name, "Unit": unit} for name, unit in UNITS.items() if name in fields]
    directive = {"Namespace": NAMESPACE, "Dimensions": [["service"]], "Metrics": metrics}
    return {
        "service": SERVICE,
        "_aws": {"Timestamp": round(at.timestamp() * 1000), "CloudWatchMetrics": [directive]},
    }
