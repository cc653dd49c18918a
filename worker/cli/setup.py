"""`shardworker setup`: create the queues, directories, catalog and inbox tables that are missing."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import chain
from typing import Annotated, NamedTuple

import typer
from sqlalchemy.exc import SQLAlchemyError

from config.settings import Settings
from shards.catalog_tables import create_catalog
from shards.engines import Shard, Shards
from shards.failures import KnownFailure, classify
from shards.inbox import create_inbox
from shards.open_directory import CATALOG, catalog_shard
from worker.cli.common import ConfigOption, JsonOption, open_queue, open_settings
from worker.cli.directory_findings import reachable_places
from worker.cli.errors import CommandError
from worker.cli.findings import bucket_names, queue_urls
from worker.cli.output import print_json, print_table
from worker.cli.places import Place, place_name
from worker.cli.queue_names import chosen_queues
from worker.objects import is_directory_bucket
from worker.objects.files import bucket_directory
from worker.transports.base import TransportError


class Step(NamedTuple):
    """One thing that was made, was there already, or could not be made (`error` says why)."""

    what: str
    name: str
    state: str
    error: str | None = None


def setup(
    queues: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[QUEUE]...", show_default=False, help="Only these queues, and nothing else than queues."
        ),
    ] = None,
    *,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create what is missing: queues, the catalog's tables and inbox tables.

    Mirrors `messenger:setup-transports`.

    It can be run as often as you like: what is there is left as it is. The queues keep messages for 14
    days and have no redrive policy, since the worker moves failed messages by itself. Databases, S3 buckets
    and your own tables are not made here.
    """
    settings = open_settings(config).settings
    chosen = _queues(settings, queues or ())
    steps = list(chosen if queues else chain(chosen, _others(settings)))
    if as_json:
        print_json([step._asdict() for step in steps])
    else:
        print_table(("what", "name", "state", "why"), steps)
    failed = [f"{step.what} {step.name}: {step.error}" for step in steps if step.error]
    if failed:
        raise CommandError("\n".join(failed))


def _queues(settings: Settings, names: Sequence[str]) -> Iterator[Step]:
    for what, url in chosen_queues(queue_urls(settings), names):
        with open_queue(url, settings) as queue:
            yield _made(what, queue.name, queue.create)


def _others(settings: Settings) -> Iterator[Step]:
    for bucket in filter(is_directory_bucket, bucket_names(settings)):
        yield _made("directory", bucket, partial(_create_directory, bucket))
    if settings.directory.catalog is not None:
        yield _catalog(settings)
    shards = Shards(settings.shards)
    try:
        for place in reachable_places(settings):
            yield _inbox(shards.get(place.shard), place)
    finally:
        shards.close()


def _made(what: str, name: str, create: Callable[[], bool]) -> Step:
    try:
        return Step(what, name, "created" if create() else "was there")
    except (TransportError, OSError) as error:
        return Step(what, name, "failed", str(error))


def _create_directory(bucket: str) -> bool:
    directory = bucket_directory(bucket)
    was_there = directory.is_dir()
    directory.mkdir(parents=True, exist_ok=True)
    return not was_there


def _catalog(settings: Settings) -> Step:
    with closing(catalog_shard(settings)) as catalog:
        try:
            created = create_catalog(catalog)
        except (SQLAlchemyError, KnownFailure) as error:
            return Step("catalog", CATALOG, "failed", classify(error, catalog.dialect).message)
        return Step("catalog", CATALOG, "created" if created else "was there")


def _inbox(shard: Shard, place: Place) -> Step:
    try:
        created = create_inbox(shard, place.schema)
    except (SQLAlchemyError, KnownFailure) as error:
        return Step("inbox table", place_name(place), "failed", classify(error, shard.dialect).message)
    return Step("inbox table", place_name(place), "created" if created else "was there")
