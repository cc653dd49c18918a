"""How long a part may take: its handler as configured, the statements around it as the shard lets them."""

from datetime import timedelta
from typing import Final

from config.settings import JobType, Settings
from shards.engines import Shard

GRACE_SHARE: Final = 0.5
GRACE_SECONDS_MINIMUM: Final = 2.0
GRACE_SECONDS_MAXIMUM: Final = 30.0
STATEMENTS_GRACE_SECONDS: Final = 120.0


def handler_timeout(settings: Settings, job_type: str) -> timedelta:
    """How long one call of the type's handler may take, as the handler is told."""
    return settings.types.get(job_type, JobType()).timeout


def handler_grace_seconds(timeout: timedelta) -> float:
    """How long a handler may take to end after its time is up: then its thread is given up."""
    return min(max(timeout.total_seconds() * GRACE_SHARE, GRACE_SECONDS_MINIMUM), GRACE_SECONDS_MAXIMUM)


def statements_limit_seconds(shard: Shard) -> float:
    """After how long what the worker itself does on a shard is said to hang.

    A silent server is given up when a statement has had its time: that is an absence, and none of ours hangs.
    """
    return (shard.statement_timeout + shard.lock_timeout).total_seconds() + STATEMENTS_GRACE_SECONDS
