"""What the demo finds when its worker has left: rows, answers and dead letters, read where they lie."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Final, NamedTuple

from msgspec import UNSET

from config.headers import OwnHeader, read_own_header
from config.result import Result, decode_result
from config.settings import Settings
from shards.engines import Shards
from shards.sample import RowKey, find_rows
from worker.transports.base import Delivery
from worker.transports.factory import open_transport

EVERYTHING: Final = 10_000


class DeadLetter(NamedTuple):
    """A message on the failure queue, and what the worker wrote on it."""

    message_id: str
    body: str
    header: OwnHeader


class Findings(NamedTuple):
    """What the run left: rows by shard, each key with its count; final results by job; dead letters."""

    rows: Mapping[str, Counter[RowKey]]
    results: Mapping[str, list[Result]]
    dead_letters: list[DeadLetter]


def look(settings: Settings) -> Findings:
    """Read it all; everything stays where it is."""
    queues = settings.queues
    return Findings(
        rows=_rows(settings),
        results=_by_job(decode_result(delivery.body) for delivery in _browse(queues.response, settings)),
        dead_letters=[_dead_letter(delivery) for delivery in _browse(queues.failure, settings)],
    )


def code_of(result: Result) -> str | None:
    """The error's code in a result; codes that differ between customers are joined by commas."""
    if result.error is not UNSET:
        return result.error.code
    codes = {customer.error.code for customer in result.customers if customer.error is not UNSET}
    return ", ".join(sorted(codes)) or None


def _rows(settings: Settings) -> dict[str, Counter[RowKey]]:
    with closing(Shards(settings.shards)) as shards:
        return {name: find_rows(shards.get(name)) for name in shards.names}


def _browse(url: str, settings: Settings) -> list[Delivery]:
    with closing(open_transport(url, settings.queues, settings.worker.lease)) as queue:
        return queue.browse(EVERYTHING)


def _by_job(results: Iterable[Result]) -> dict[str, list[Result]]:
    by_job: defaultdict[str, list[Result]] = defaultdict(list)
    for result in results:
        if result.status == "running":
            continue
        by_job[result.job_id].append(result)
    return dict(by_job)


def _dead_letter(delivery: Delivery) -> DeadLetter:
    return DeadLetter(delivery.message_id, delivery.body, read_own_header(delivery.headers))
