"""The closed list of the log's fields: what each one holds, in which form, and its name elsewhere."""

from typing import Final, Literal, NamedTuple

Kind = Literal["text", "whole", "number", "flag", "texts", "object"]

NAMESPACE: Final = "shardworker"
KINDS: Final[dict[Kind, str]] = {
    "text": "text",
    "whole": "whole number",
    "number": "number",
    "flag": "true or false",
    "texts": "list of texts",
    "object": "object",
}
"""The forms of a field's value, in words. Instead of a value any field may hold null: there is none."""


class Field(NamedTuple):
    """What a field holds. `ecs` and `otel` name it elsewhere; empty: it has no name there but ours.

    A field whose name ends in `_ms` is in milliseconds.
    """

    kind: Kind
    meaning: str
    ecs: str = ""
    otel: str = ""


FIELDS: Final[dict[str, Field]] = {
    "ts": Field("text", "the time, RFC 3339 in UTC with milliseconds", "@timestamp", "Timestamp"),
    "level": Field("text", "debug, info, warning or error", "log.level", "SeverityText"),
    "event": Field("text", "the event's name, as above", "event.action", "EventName"),
    "msg": Field("text", "a sentence for people", "message", "Body"),
    "error_type": Field("text", "an exception's class", "error.type", "exception.type"),
    "stack": Field(
        "text",
        "where it was raised, and what caused it: files, lines, functions",
        "error.stack_trace",
        "exception.stacktrace",
    ),
    "truncated": Field("flag", "true on a line that was cut to 16 KiB"),
    "job": Field("text", "the job's id"),
    "customer": Field("text", "the id of the customer whose part it is"),
    "trace_id": Field(
        "text", "the trace that the message belongs to, 32 hexadecimal digits", "trace.id", "TraceId"
    ),
    "_aws": Field("object", "what CloudWatch makes metrics of, where `[metrics] emf` is set"),
    "abandoned": Field("whole", "deliveries that were given back unfinished when the drain's time was up"),
    "address": Field("text", "where metrics are asked for: `host:port`, or a socket's path"),
    "attempt": Field("whole", "attempts counted so far: handler runs that ended in a transient failure"),
    "away": Field(
        "texts", "names of the shards that cannot be asked now, by themselves or with their server"
    ),
    "away_count": Field("whole", "how many shards cannot be asked now"),
    "away_ms": Field("number", "how long it was away"),
    "away_servers": Field("texts", "the servers, as `host:port`, that cannot be asked now"),
    "command": Field(
        "text", "the command, as the configuration has it", "process.command_line", "process.command_line"
    ),
    "changed": Field("texts", "the configuration's keys that changed and are in force now"),
    "concurrency": Field("whole", "threads that run handlers"),
    "configuration": Field("object", "the effective configuration, secrets hidden"),
    "copy": Field(
        "flag", "true where the delivery was joined to another one of the same job in this process"
    ),
    "count": Field("whole", "how many messages it is about", otel="messaging.batch.message_count"),
    "customers": Field("whole", "how many customers the job names"),
    "data": Field("object", "a handler's own fields"),
    "database_ms": Field("number", "time in transactions, all parts of the job together"),
    "delay_ms": Field("number", "when it is tried again or visible again, counted from now"),
    "doing": Field("text", "what the thread is doing"),
    "drain_ms": Field("number", "how long a stop waits for what runs"),
    "dry_run": Field("flag", "true where the job only asked what would happen; absent elsewhere"),
    "error": Field("text", "what the queue or the system said, in words", "error.message", "error.message"),
    "error_code": Field(
        "text",
        "the code of the failure, of several parts the first one's in the job's order; "
        "docs of the codes tell each one",
        "error.code",
        "error.type",
    ),
    "error_kind": Field("text", "the kind of the failure, such as defect or broken"),
    "file": Field("text", "the file that it is about", "file.path", "file.path"),
    "group": Field("text", "the Auto Scaling group"),
    "hook": Field("text", "the lifecycle hook"),
    "in_hand": Field("whole", "deliveries held now: running or waiting"),
    "instance": Field("text", "the EC2 instance or host", "service.node.name", "service.instance.id"),
    "interval_attempts": Field("whole", "attempts counted since the line before"),
    "interval_dead_lettered": Field(
        "whole", "deliveries that ended on the failure queue since the line before"
    ),
    "interval_failed": Field("whole", "deliveries settled as failed or refused since the line before"),
    "interval_ms": Field("number", "the time since the line before"),
    "interval_released": Field("whole", "deliveries given back since the line before"),
    "interval_requests": Field("object", "requests to SQS since the line before, by action"),
    "interval_settled": Field("whole", "deliveries settled since the line before"),
    "lane_wait_ms": Field("number", "the longest wait of a part for its shard"),
    "lasting_ms": Field("number", "for how long it has been doing that"),
    "lease_lost": Field("flag", "true where another worker may have got the message meanwhile"),
    "left_ms": Field("number", "what is left until the machine goes or is let go"),
    "library": Field("text", "the library's logger", "log.logger", "InstrumentationScope"),
    "lifecycle_state": Field("text", "the state that the group aims at for the machine"),
    "limit_ms": Field("number", "how long it may take without being said to hang"),
    "lines": Field("whole", "how many lines were dropped"),
    "longest_ms": Field("number", "for how long the longest handler call of the machine has been running"),
    "message_id": Field("text", "the queue's id of the message", otel="messaging.message.id"),
    "middleware": Field("text", "the middleware, as `package.module.Name`"),
    "needs_restart": Field("texts", "the configuration's keys that changed and are in force after a restart"),
    "noticed_at": Field("text", "when EC2 said so, RFC 3339"),
    "of": Field("text", "the event whose line could not be written"),
    "oldest_ms": Field("number", "since when the oldest delivery in hand is held"),
    "outcome": Field(
        "text", "succeeded, partial, failed, rejected, released, resent, unanswered or discarded"
    ),
    "overrides": Field("texts", "names of the environment variables that override the file"),
    "partner": Field("text", "the partner's id"),
    "pid": Field("whole", "the process id", "process.pid", "process.pid"),
    "prepare_ms": Field(
        "number", "from receipt until its parts went to their lanes: decoding, routing, attachments"
    ),
    "problems": Field("texts", "what is wrong with the configuration"),
    "queue": Field("text", "the queue's name", otel="messaging.destination.name"),
    "queue_wait_ms": Field("number", "from when the message was sent until it was received"),
    "queues": Field("texts", "names of the request queues"),
    "reason": Field("text", "why: a signal, a limit or `stop-workers`", "event.reason"),
    "receive_count": Field("whole", "how often the queue has handed out the message"),
    "run": Field("whole", "the job's run"),
    "s3_requests": Field(
        "whole", "objects that were read from buckets for it: attachments, and a body that is elsewhere"
    ),
    "server": Field(
        "text",
        "the server, as `host:port` or as `[shards.NAME] server` names it",
        "server.address",
        "server.address",
    ),
    "service": Field("text", "a dimension of CloudWatch's, the same for all workers", "service.type"),
    "settled": Field("whole", "deliveries settled since the start"),
    "shard": Field("text", "the shard's name"),
    "shard_count": Field("whole", "how many shards are configured"),
    "shards": Field("texts", "names of the shards that the job's parts went to, or that were found away"),
    "sqs_requests": Field(
        "number", "requests to queues that the delivery took; of one for several messages its share"
    ),
    "thread": Field("text", "the thread's name", "process.thread.name", "thread.name"),
    "took_ms": Field("number", "how long it took"),
    "total_ms": Field("number", "from receipt until the end"),
    "tries": Field("whole", "how often it has failed in a row"),
    "type": Field("text", "the job's type"),
    "version": Field("text", "the version of shardworker", "service.version", "service.version"),
    "waiting": Field("whole", "parts that wait for their shard"),
}
"""Each field by its name: one meaning and one form, on whichever line it stands."""


def ecs_name(name: str) -> str:
    """The field's name in the Elastic Common Schema; under our own namespace where that has none for it."""
    return FIELDS[name].ecs or f"{NAMESPACE}.{name}"


def otel_name(name: str) -> str:
    """The field's name in OpenTelemetry's log model or semantic conventions; else under our namespace."""
    return FIELDS[name].otel or f"{NAMESPACE}.{name}"
