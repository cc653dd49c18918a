"""The options of one `shardworker consume`, as the command line gives them to the daemon."""

from dataclasses import dataclass
from datetime import timedelta

from worker.transports.limits import BATCH_COUNT_MAXIMUM


@dataclass(frozen=True, slots=True)
class ConsumeOptions:
    """What a single start of the daemon changes: `None` and empty mean what the configuration says.

    `limit` counts settled jobs, `failure_limit` failures, those that are tried again too; `memory_limit` is
    in bytes. When one of them or `time_limit` is reached, the daemon drains and leaves.
    `queues` are the request queues to receive from, each one of the configured URLs.
    `sleep` is the pause after a receive that brought nothing, `keepalive` how often leases are renewed,
    `fetch_size` how many messages one receive brings at most.
    """

    concurrency: int | None = None
    limit: int | None = None
    time_limit: timedelta | None = None
    memory_limit: int | None = None
    failure_limit: int | None = None
    queues: tuple[str, ...] = ()
    sleep: timedelta = timedelta()
    keepalive: timedelta | None = None
    fetch_size: int = BATCH_COUNT_MAXIMUM
