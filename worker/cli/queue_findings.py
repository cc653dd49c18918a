"""What the configuration asks of its queues that their kind cannot promise, for `shardworker check`."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from config.masking import holds_password
from config.measures import format_duration
from config.settings import Settings
from worker.transports.addresses import (
    ORDERED_SUFFIX,
    Address,
    AmqpAddress,
    RedisAddress,
    SqlAddress,
    SqsAddress,
    read_address,
)
from worker.transports.limits import BATCH_COUNT_MAXIMUM

KINDS: Final[dict[type[Address], str]] = {
    SqsAddress: "SQS",
    SqlAddress: "a database",
    AmqpAddress: "RabbitMQ",
    RedisAddress: "Redis",
}


def hold_doubts(url: str, hold_maximum: timedelta, settings: Settings) -> Iterator[str]:
    """Job types that may run for longer than the request queue lets a message be held."""
    kind = KINDS[type(read_address(url))]
    for name, job_type in settings.types.items():
        if job_type.timeout >= hold_maximum:
            yield (
                f'[types."{name}"] timeout is {format_duration(job_type.timeout)}, and {kind} takes a '
                f"message back that was held for {format_duration(hold_maximum)}: such a job is delivered "
                "again while it still runs. Each part happens once all the same and the answer is the same, "
                "but the copies take room until it ends. Split such jobs, or give them a queue that lets "
                "them be held for longer."
            )


def link_doubts(url: str, settings: Settings) -> Iterator[str]:
    """A password that everybody on the way can read."""
    address = read_address(url)
    if not isinstance(address, AmqpAddress | RedisAddress):
        return
    parts = urlsplit(address.url)
    has_password = holds_password(url) or settings.queues.password_file is not None
    if has_password and parts.scheme in {"amqp", "redis"} and not _is_this_machine(parts.hostname or ""):
        yield (
            f"the password and all jobs go to {parts.hostname} unencrypted: whoever can listen on the way "
            f"can read them and send jobs. Let the broker offer TLS, and write {parts.scheme}s:// in the URL."
        )


def scaling_doubts(settings: Settings) -> Iterator[str]:
    """An Auto Scaling group without the metric that it is to be scaled on."""
    kinds = {type(read_address(url)) for url in settings.queues.request}
    if settings.ec2.group is None or SqsAddress in kinds:
        return
    yield (
        "[ec2] group names an Auto Scaling group, and no request queue is on SQS: there is no metric of the "
        "jobs that wait, which the policy in infra/scaling divides, so the group is not scaled. Publish one "
        "from what your broker, or `shardworker stats --json`, tells of waiting messages."
    )


def order_doubts(settings: Settings) -> Iterator[str]:
    """FIFO queues whose groups stand in the way of threads, or of those who look at failures."""
    queues, worker = settings.queues, settings.worker
    if _is_ordered(queues.failure):
        yield (
            "the failure queue is a FIFO queue: of each group the first ten messages are seen, and none "
            "behind them while anybody looks. Name a standard queue: retries find their groups all the same."
        )
    places = BATCH_COUNT_MAXIMUM * worker.concurrency
    if any(map(_is_ordered, queues.request)) and worker.in_hand_max < places:
        yield (
            f"[worker] in_hand_max is {worker.in_hand_max}: a receive of a FIFO queue brings up to ten "
            "messages of one group, of which one runs, so that threads may stay idle. Give it "
            f"{places}, ten for each thread."
        )


def _is_ordered(url: str) -> bool:
    return read_address(url).queue_name.endswith(ORDERED_SUFFIX)


def name_doubts(settings: Settings) -> Iterator[str]:
    """Queues that commands and limits cannot tell apart."""
    queues = settings.queues
    names = Counter(
        read_address(url).queue_name for url in (*queues.request, queues.response, queues.failure)
    )
    for name, count in names.items():
        if count > 1:
            yield (
                f"{count} queues have the name {name!r}: commands, [rate_limits] and the log know queues by "
                "their names, and `failed retry` sends to the first of them. Give each a name of its own."
            )


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
