"""The closed list of the log's events: what each one means, its levels, and the fields that it may carry."""

from typing import Final, Literal, NamedTuple

ALWAYS: Final = frozenset({"ts", "level", "event"})
"""On every line."""

SOMETIMES: Final = frozenset({"msg", "error_type", "stack", "truncated", "job", "customer", "trace_id"})
"""On any line: a sentence for people, an exception's flat form, the mark of a cut line, and what is bound."""

Level = Literal["debug", "info", "warning", "error"]
ANY_LEVEL: Final[tuple[Level, ...]] = ("debug", "info", "warning", "error")
INFO: Final[tuple[Level, ...]] = ("info",)
WARNING: Final[tuple[Level, ...]] = ("warning",)
ERROR: Final[tuple[Level, ...]] = ("error",)
WARNING_OR_ERROR: Final = (*WARNING, *ERROR)


class Event(NamedTuple):
    """One kind of line: its levels, what it tells, and the fields of its own that it may carry.

    What each field holds stands in worker/log_fields.py.
    """

    levels: tuple[Level, ...]
    meaning: str
    fields: frozenset[str] = frozenset()


def _fields(names: str) -> frozenset[str]:
    return frozenset(names.split())


MESSAGE: Final = _fields("queue message_id receive_count")
JOB: Final = MESSAGE | _fields(
    "run dry_run partner type customers shards outcome error_code attempt copy lease_lost"
)
TIMES: Final = _fields("queue_wait_ms prepare_ms lane_wait_ms database_ms total_ms sqs_requests s3_requests")

EVENTS: Final[dict[str, Event]] = {
    "job.done": Event(INFO, "A delivery ended: its result is sent and the message is acked.", JOB | TIMES),
    "job.released": Event(
        WARNING,
        "A delivery was given back to the queue; it comes again after `delay_ms`.",
        JOB | TIMES | _fields("delay_ms"),
    ),
    "job.dead_lettered": Event(
        WARNING,
        "A delivery ended on the failure queue; where it could be answered, its result is sent as well.",
        JOB | TIMES,
    ),
    "part.failed": Event(
        WARNING_OR_ERROR,
        "A part met what somebody should look at: a defect, an unexpected error, a store that is away.",
        _fields("run type shard error_code error_kind attempt"),
    ),
    "part.middleware_failed": Event(
        ERROR,
        "A middleware raised when the part had its outcome, which stands, or ended without running the part.",
        _fields("shard middleware"),
    ),
    "config.loaded": Event(
        INFO,
        "The configuration that is in force: the file, the variables that override it, and all values.",
        _fields("version file overrides configuration"),
    ),
    "config.warning": Event(WARNING, "The configuration holds what is probably not meant.", _fields("file")),
    "config.reloaded": Event(
        (*INFO, *WARNING),
        "A changed configuration was taken, but for the keys that need a restart.",
        _fields("file changed needs_restart"),
    ),
    "config.refused": Event(
        ERROR,
        "A changed configuration is faulty and was not taken: the one before is in force.",
        _fields("problems"),
    ),
    "worker.started": Event(
        INFO, "The process receives from now on.", _fields("pid instance queues concurrency shard_count")
    ),
    "worker.stopping": Event(
        (*INFO, *WARNING),
        "The process receives no more and finishes what runs.",
        _fields("reason in_hand drain_ms"),
    ),
    "worker.stopped": Event(INFO, "The process leaves.", _fields("reason settled abandoned")),
    "worker.stats": Event(
        INFO,
        "How the process stands, and what it did since the line before, at the configured interval.",
        _fields("in_hand settled waiting away away_count away_servers oldest_ms service _aws")
        | _fields("interval_ms interval_settled interval_failed interval_released interval_dead_lettered")
        | _fields("interval_attempts interval_requests"),
    ),
    "worker.metrics_failed": Event(
        WARNING,
        "Metrics and health are not told at this address, one asker got no answer, or a queue's depth is not "
        "known; the work goes on.",
        _fields("address queue error"),
    ),
    "worker.status_failed": Event(
        WARNING,
        "The file that tells commands how the process stands cannot be written; it goes on without.",
        _fields("file error"),
    ),
    "worker.sees_stop": Event(
        ("debug",), "From now on a call of `stop-workers` is seen: its marks were read for the first time."
    ),
    "worker.stop_unknown": Event(
        WARNING,
        "Whether `stop-workers` was called cannot be told now, once for each time; the work goes on.",
        _fields("error"),
    ),
    "worker.thread_died": Event(
        ERROR, "A thread of the process ended by an error; the process drains and leaves.", _fields("thread")
    ),
    "worker.thread_hangs": Event(
        ERROR,
        "A thread takes longer for what it does than it may: no ping goes out. `stack` tells where it is.",
        _fields("thread doing lasting_ms limit_ms shard"),
    ),
    "worker.thread_given_up": Event(
        ERROR,
        "A handler's time is up and it does not end: its connection was cut, its attempt is counted, and the "
        "process goes on without the thread. `stack` tells where it is.",
        _fields("thread doing lasting_ms shard"),
    ),
    "worker.thread_moves": Event(INFO, "A thread that hung moves again.", _fields("thread")),
    "worker.thread": Event(
        INFO,
        "What a thread is doing, and where it is: a line for each after SIGUSR1.",
        _fields("thread doing lasting_ms shard"),
    ),
    "receive.failed": Event(
        ERROR,
        "The request queue could not be asked; it is asked again after `delay_ms`.",
        _fields("queue error error_code tries delay_ms"),
    ),
    "receive.given_back": Event(
        INFO, "Messages that came after the stop went back to the queue at once.", _fields("queue count")
    ),
    "intake.failed": Event(
        ERROR,
        "A message could not be taken in for an unexpected reason; it is released and comes again.",
        _fields("queue message_id"),
    ),
    "settle.failed": Event(
        WARNING_OR_ERROR,
        "A result, a dead letter or an ack was not accepted; it is tried again or the message comes again.",
        _fields("queue error error_code count"),
    ),
    "queue.aging": Event(
        ERROR, "A message that waits on a FIFO queue is so old that the queue will soon forget it.", MESSAGE
    ),
    "queue.unknown": Event(
        WARNING,
        "A request queue does not tell how long it keeps messages and how many are in flight: four days and "
        "few are assumed.",
        _fields("queue error"),
    ),
    "lease.lost": Event(
        WARNING,
        "The hold on a message ran out: another worker may have it now.",
        _fields("queue message_id error_code"),
    ),
    "lease.failed": Event(
        WARNING,
        "Holds on messages could not be renewed; it is tried again before they end.",
        _fields("queue count error error_code"),
    ),
    "shard.away": Event(
        WARNING,
        "A shard cannot be asked: its parts wait and the others go on.",
        _fields("shard waiting"),
    ),
    "shard.unanswered": Event(
        WARNING,
        "A part or a probe met a shard that cannot be asked; `msg` is what the shard or its driver said.",
        _fields("shard error_code"),
    ),
    "shard.back": Event(
        INFO, "A shard answers again: its parts go on, few at first.", _fields("shard tries away_ms")
    ),
    "sharing.off": Event(
        WARNING,
        "Parts of a job type do not go together: for ten minutes each has a transaction of its own.",
        _fields("type"),
    ),
    "sharing.on": Event(
        INFO, "Parts of the job type share transactions again, as configured.", _fields("type")
    ),
    "server.away": Event(
        WARNING,
        "Shards of one server were found away one after another: only probes go to any of its shards.",
        _fields("server shards waiting"),
    ),
    "server.back": Event(
        INFO,
        "A shard of the server answers again: the parts for all its shards go on, few at first.",
        _fields("server tries away_ms"),
    ),
    "placement.stale": Event(
        WARNING,
        "A customer is not active where the directory said: its part is released and routed anew.",
        _fields("shard"),
    ),
    "directory.away": Event(
        WARNING,
        "The catalog or the function of the directory cannot be asked: what is remembered is used.",
        _fields("error_code"),
    ),
    "directory.back": Event(INFO, "The catalog or the directory's function answers again."),
    "directory.bad_placement": Event(
        ERROR,
        "What the catalog or function says of a customer cannot be used: its jobs wait until it is mended.",
    ),
    "inbox.fault": Event(
        ERROR,
        "The inbox table of a shard does not work: its parts wait until it is repaired.",
        _fields("shard error_code"),
    ),
    "ec2.watching": Event(
        INFO,
        "The watcher of an EC2 machine has begun; a hook that is named will be completed by it.",
        _fields("instance lifecycle_state group hook"),
    ),
    "ec2.nothing_to_watch": Event(
        INFO, "There are no instance metadata here; the watcher leaves with status 79.", _fields("error")
    ),
    "ec2.no_hook": Event(
        WARNING, "The group has no lifecycle hook for the workers: a scale-in does not wait for their drain."
    ),
    "ec2.metadata_failed": Event(
        WARNING,
        "The instance metadata could not be read; what was read before holds.",
        _fields("error tries delay_ms"),
    ),
    "ec2.rebalance_recommended": Event(
        WARNING, "EC2 may take the spot machine back soon, and recommends to leave it.", _fields("noticed_at")
    ),
    "ec2.leaving": Event(
        WARNING,
        "The machine has to go, or to step aside: its workers are stopped.",
        _fields("reason left_ms"),
    ),
    "ec2.hurried": Event(
        WARNING, "Time gets short: the workers give back at once what still runs.", _fields("left_ms")
    ),
    "ec2.drained": Event(INFO, "The machine's workers have stopped.", _fields("took_ms")),
    "ec2.drain_overdue": Event(
        ERROR, "The machine's workers have not stopped in time; the machine goes.", _fields("took_ms")
    ),
    "ec2.returning": Event(INFO, "The machine is in service again: its workers are started."),
    "ec2.command_failed": Event(
        ERROR,
        "A command that stops, hurries or starts the workers failed; it is run again.",
        _fields("command error tries delay_ms"),
    ),
    "ec2.heartbeat": Event(INFO, "The hook was told that the drain goes on.", _fields("group hook")),
    "ec2.hook_completed": Event(
        INFO, "The lifecycle hook was told that the machine can go.", _fields("group hook")
    ),
    "ec2.hook_failed": Event(
        WARNING_OR_ERROR,
        "The lifecycle hook could not be found, kept alive or completed; without `delay_ms` for good.",
        _fields("hook error error_code tries delay_ms"),
    ),
    "ec2.protected": Event(
        INFO,
        "The machine is protected from scale-in: a handler call runs for long.",
        _fields("longest_ms"),
    ),
    "ec2.unprotected": Event(INFO, "The machine can be chosen for scale-in again.", _fields("longest_ms")),
    "ec2.protection_failed": Event(
        WARNING,
        "The protection from scale-in could not be set; it is tried again.",
        _fields("error error_code tries delay_ms"),
    ),
    "ec2.stopped": Event(INFO, "The watcher leaves.", _fields("reason")),
    "handler.log": Event(
        ANY_LEVEL,
        "A handler's own line; its fields stand under `data`.",
        _fields("data"),
    ),
    "library.log": Event(WARNING_OR_ERROR, "A warning or an error of a library.", _fields("library")),
    "log.dropped": Event(
        WARNING,
        "Lines were dropped: standard output took none, and the memory for those that wait was full.",
        _fields("lines"),
    ),
    "log.failed": Event(
        ERROR, "A line could not be written as it was meant; `of` is the event that it had.", _fields("of")
    ),
}


def unknown_fields(event: str, fields: frozenset[str]) -> frozenset[str]:
    """The fields that a line of this event should not carry; all of them where the event is not listed."""
    known = EVENTS.get(event)
    return fields if known is None else fields - ALWAYS - SOMETIMES - known.fields
