"""Spans: one for each run of a part, in the trace of its message."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from handlers import Reject
from tests.support.core import Site, insert_order
from tests.support.executing import part_of, raising
from tests.support.jobs import job_fields
from worker.reports import Ended
from worker.spans import PartSpans
from worker.transports.base import Attribute

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"
TRACED = {"traceparent": Attribute("String", f"00-{TRACE_ID}-{PARENT_ID}-01")}

pytestmark = pytest.mark.usefixtures("quiet")


class Traced:
    """A site whose parts run inside spans that are kept in memory."""

    def __init__(self, directory: Path) -> None:
        self.kept = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.kept))
        self.tracer = self.provider.get_tracer("tests")
        self.site = Site(directory, [PartSpans(self.tracer)])

    def spans(self) -> list[ReadableSpan]:
        """The spans that ended, in that order."""
        return list(self.kept.get_finished_spans())


@pytest.fixture(name="traced")
def make_traced(tmp_path: Path) -> Iterator[Traced]:
    traced = Traced(tmp_path)
    yield traced
    traced.provider.shutdown()


def test_a_part_has_a_span_in_the_trace_of_its_message(traced: Traced) -> None:
    """Its parent is whoever sent the job, and it says which part it is."""
    traced.site.take(job_fields(), attributes=TRACED)
    traced.site.run()

    (span,) = traced.spans()
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE_ID, PARENT_ID)
    assert span.name == "process orders.insert"
    assert dict(span.attributes or {}) == {
        "shardworker.job": "job-1",
        "shardworker.run": 1,
        "shardworker.type": "orders.insert",
        "shardworker.partner": "acme",
        "shardworker.customer": "c-1",
        "shardworker.shard": "eu1",
        "shardworker.outcome": "succeeded",
    }
    assert span.status.status_code is StatusCode.UNSET


def test_a_handler_s_own_spans_lie_inside(traced: Traced) -> None:
    """Through OpenTelemetry's current context, as everywhere."""

    def handler(payload: Any, context: Any) -> Any:
        with traced.tracer.start_as_current_span("own"):
            return insert_order(payload, context)

    traced.site.handler = handler
    assert isinstance(traced.site.executor.run(part_of(traced.site)), Ended)

    own, around = traced.spans()
    assert own.parent is not None
    assert own.parent.span_id == around.context.span_id
    assert around.parent is None


@pytest.mark.parametrize("error", [Reject("order_missing", "of a customer"), RuntimeError("of a customer")])
def test_a_failure_is_an_error_without_its_text(traced: Traced, error: Exception) -> None:
    """Exceptions quote values of the job, which traces are not the place for."""
    traced.site.handler = raising(error)
    traced.site.executor.run(part_of(traced.site))

    (span,) = traced.spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == type(error).__name__
    assert span.events == ()


def test_an_outcome_that_was_found_is_told(traced: Traced) -> None:
    """A second delivery of a failed part: its span is an error too, though nothing was raised."""
    traced.site.handler = raising(Reject("order_missing", "No order."))
    for _ in range(2):
        part = part_of(traced.site)
        report = traced.site.executor.run(part)
        assert isinstance(report, Ended)
        part.owner.part_ended(part, report.outcome)

    _, second = traced.spans()
    assert second.status.status_code is StatusCode.ERROR
    assert dict(second.attributes or {})["shardworker.outcome"] == "failed"
