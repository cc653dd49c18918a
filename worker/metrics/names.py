"""The closed list of the metrics: each one's kind, what it tells, and its labels, all of bounded values."""

from typing import Final, Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]

UNKNOWN_TYPE: Final = "unknown"
"""The job type of a message that is no job, or of one that no handler takes: senders choose those names."""

OTHER_CODE: Final = "other"
"""The error code of a failure whose code is not on our list: handlers choose those."""


class Metric(NamedTuple):
    """One metric. A duration is in seconds, and its name says so; a counter's name ends in `_total`."""

    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()


METRICS: Final[dict[str, Metric]] = {
    "shardworker_info": Metric("gauge", "Always 1: which version runs, and as what.", ("version", "name")),
    "shardworker_ready": Metric("gauge", "1 while the process receives; 0 once it is told to leave."),
    "shardworker_moves": Metric("gauge", "1 while all threads move; 0 when one hangs, or no look was taken."),
    "shardworker_threads_hanging": Metric("gauge", "Threads that take longer for a step than they may."),
    "shardworker_threads_given_up": Metric("gauge", "Worker threads whose handler does not come back."),
    "shardworker_jobs_total": Metric(
        "counter",
        "Deliveries that ended here, copies included, by the outcome on their line in the log.",
        ("type", "outcome"),
    ),
    "shardworker_dry_runs_total": Metric(
        "counter",
        "Deliveries of dry runs that ended here, copies included, by the outcome on their line in the log.",
        ("type", "outcome"),
    ),
    "shardworker_dead_letters_total": Metric("counter", "Deliveries that ended on the failure queue."),
    "shardworker_errors_total": Metric(
        "counter", "Deliveries that ended, or came back, with an error code.", ("code",)
    ),
    "shardworker_job_seconds": Metric(
        "histogram", "From receipt until a job's end, releases aside.", ("type",)
    ),
    "shardworker_queue_wait_seconds": Metric(
        "histogram", "From when a message was sent until it was first received.", ("queue",)
    ),
    "shardworker_parts_total": Metric(
        "counter",
        "Turns of parts on worker threads, by what came of them: succeeded, failed, retried, deferred, away, "
        "conflict or superseded.",
        ("type", "outcome"),
    ),
    "shardworker_attempts_total": Metric(
        "counter", "Counted attempts: handler runs that failed and will be tried again.", ("type",)
    ),
    "shardworker_database_seconds_total": Metric("counter", "Time in the parts' transactions.", ("type",)),
    "shardworker_in_hand": Metric("gauge", "Deliveries held now: running or waiting."),
    "shardworker_in_hand_max": Metric("gauge", "How many may be held."),
    "shardworker_oldest_in_hand_seconds": Metric("gauge", "Since when the oldest of them is held."),
    "shardworker_rate_limited_waiting": Metric("gauge", "Parts that wait for a rate limit."),
    "shardworker_lane_waiting": Metric("gauge", "Parts that wait for the shard.", ("shard",)),
    "shardworker_lane_running": Metric("gauge", "Parts that run on the shard.", ("shard",)),
    "shardworker_lane_away": Metric(
        "gauge", "1 while the shard, or its server, cannot be asked.", ("shard",)
    ),
    "shardworker_breaker_openings_total": Metric(
        "counter", "How often the shard was found away.", ("shard",)
    ),
    "shardworker_servers_away": Metric("gauge", "Servers that cannot be asked now."),
    "shardworker_leases_extended_total": Metric("counter", "Holds on messages that were renewed."),
    "shardworker_leases_lost_total": Metric("counter", "Holds on messages that ran out."),
    "shardworker_queue_messages": Metric(
        "gauge",
        "About how many messages a queue has; `state` is waiting, leased or delayed. Of RabbitMQ's, the "
        "process knows what waits, and what it holds or delayed itself.",
        ("queue", "role", "state"),
    ),
    "shardworker_queue_away": Metric(
        "gauge", "1 while the queue does not do what it is asked.", ("queue", "role")
    ),
    "shardworker_sqs_requests_total": Metric("counter", "Requests to SQS, repeated ones too.", ("action",)),
    "shardworker_s3_requests_total": Metric("counter", "Requests to S3, repeated ones too.", ("action",)),
    "shardworker_s3_bytes_total": Metric(
        "counter", "Bytes of objects; `direction` is read or written.", ("direction",)
    ),
    "shardworker_attachment_bytes": Metric("gauge", "Disk space that attachments take now."),
    "shardworker_attachment_bytes_max": Metric("gauge", "Disk space that they may take."),
}
"""Each metric by its name. The table in docs/metrics.md is held to it."""
