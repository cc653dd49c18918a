"""The options of one `shardworker consume`, as the command line gives them to the daemon."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class ConsumeOptions:
    """What a single start of the daemon changes: `None` and empty mean what the configuration says.

    `limit` counts settled jobs; after that many, or after `time_limit`, the daemon drains and leaves.
    `queues` are the request queues to receive from, each one of the configured URLs.
    """

    concurrency: int | None = None
    limit: int | None = None
    time_limit: timedelta | None = None
    queues: tuple[str, ...] = ()
