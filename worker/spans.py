"""OpenTelemetry spans, one for each run of a part, in the trace of its message: the extra `otel`."""

import atexit
import threading
from collections.abc import Callable
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from handlers.middleware import Next, PartEnvelope
from shards.inbox import Outcome
from worker.log_fields import otel_name
from worker.trace import TRACEPARENT

LAST_SPANS_SECONDS: Final = 5.0


class PartSpans:
    """Middleware that records a span around each run of a part, with the names that its log lines have.

    The handler's own spans lie inside it. It is an error where the part failed or an exception went through,
    of which the type is told and never the text. Without a `tracer`, spans go where OpenTelemetry's variables
    say (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME` ...), from a thread of their own.
    """

    def __init__(self, tracer: Tracer | None = None) -> None:
        self._tracer = tracer or exporting_tracer()

    def __call__(self, envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
        """Run the part inside a span."""
        with self._tracer.start_as_current_span(
            f"process {envelope.job_type}",
            context=_parent(envelope),
            kind=SpanKind.CONSUMER,
            attributes=_attributes(envelope),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                outcome = next(envelope)
            except BaseException as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise
            span.set_attribute(otel_name("outcome"), outcome.state)
            if outcome.state == "failed":
                span.set_status(Status(StatusCode.ERROR))
            return outcome


def exporting_tracer() -> Tracer:
    """A tracer whose spans are sent by OTLP, over HTTP; at the process's end the last ones have 5 seconds."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    _end_with_process(provider.shutdown)
    return provider.get_tracer("shardworker")


def _end_with_process(shut_down: Callable[[], None]) -> None:
    """By itself it would wait half a minute for a silent collector.

    Its thread is started now, for when the interpreter leaves none can be.
    """
    told = threading.Event()

    def end() -> None:
        told.wait()
        shut_down()

    thread = threading.Thread(target=end, name="end-spans", daemon=True)
    thread.start()

    def leave() -> None:
        told.set()
        thread.join(LAST_SPANS_SECONDS)

    atexit.register(leave)


def _parent(envelope: PartEnvelope) -> Context | None:
    if envelope.traceparent is None:
        return None
    return TraceContextTextMapPropagator().extract({TRACEPARENT: envelope.traceparent})


def _attributes(envelope: PartEnvelope) -> dict[str, str | int]:
    named: dict[str, str | int] = {
        "job": envelope.job.job_id,
        "run": envelope.run,
        "type": envelope.job_type,
        "partner": envelope.job.partner_id,
        "customer": envelope.customer_id,
        "shard": "" if envelope.placement is None else envelope.placement.shard,
    }
    return {otel_name(name): value for name, value in named.items()}
