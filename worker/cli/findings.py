"""What `shardworker check` looks at: queues, buckets, shards, inbox tables, handlers; a finding for each."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from config.load import LoadedSettings
from config.settings import InsertHandler, Settings
from config.signing import ALL as ALL_TYPES
from handlers.registry import HandlerLoadFailed, Registry, load_registry
from shards.columns import read_table
from shards.engines import Shard, Shards
from shards.failures import KnownFailure, classify
from shards.open_directory import CATALOG
from worker.cli.bucket_findings import bucket_faults
from worker.cli.common import open_queue, open_store
from worker.cli.directory_findings import directory_faults, reachable_places
from worker.cli.finding import Finding
from worker.cli.places import Place, place_name
from worker.cli.queue_findings import hold_doubts, link_doubts, name_doubts, order_doubts, scaling_doubts
from worker.cli.shard_findings import find_in_shards
from worker.middleware_names import MiddlewareImportFailed, load_middleware
from worker.objects import ObjectError
from worker.signing import Key
from worker.signing_jobs import KEY_BYTES_MINIMUM, KEY_SETTING
from worker.signing_keys import SignKeyUnusable, read_key
from worker.symfony.signatures import KEY_SETTING as SYMFONY_KEY_SETTING
from worker.transports.base import TransportError

SHARDS_AT_ONCE: Final = 8
REQUEST_QUEUE: Final = "request queue"


def find_all(loaded: LoadedSettings) -> Iterator[Finding]:
    """Look at everything, one after the other."""
    settings = loaded.settings
    yield from _configuration(loaded)
    yield from _queues(settings)
    yield from _buckets(settings)
    yield from _sign_keys(settings)
    yield from _directories(settings)
    yield from _directory(settings)
    yield from _shards(settings)
    yield from _handlers(settings)
    yield from _middleware(settings)


def queue_urls(settings: Settings) -> list[tuple[str, str]]:
    """Each configured queue: what it is for, and its URL."""
    queues = settings.queues
    requests = [(REQUEST_QUEUE, url) for url in queues.request]
    return [*requests, ("response queue", queues.response), ("failure queue", queues.failure)]


def bucket_names(settings: Settings) -> list[str]:
    """Each configured bucket once: for attachments and for claim checks."""
    queues = settings.queues
    own = [queues.claim_check_bucket] if queues.claim_check_bucket else []
    return list(dict.fromkeys([*settings.attachments.buckets, *queues.claim_check_buckets, *own]))


def _configuration(loaded: LoadedSettings) -> Iterator[Finding]:
    name = str(loaded.path)
    yield from (Finding("configuration", name, "warning", text) for text in loaded.warnings)
    if not loaded.warnings:
        yield Finding("configuration", name, "right")


def _queues(settings: Settings) -> Iterator[Finding]:
    for area, url in queue_urls(settings):
        with open_queue(url, settings) as queue:
            doubts = list(link_doubts(url, settings))
            if area == REQUEST_QUEUE:
                doubts += hold_doubts(url, queue.hold_maximum, settings)
            yield from _told(area, queue.name, queue.check, doubts)
    doubts = [*name_doubts(settings), *scaling_doubts(settings), *order_doubts(settings)]
    yield from (Finding("queues", "all", "warning", text) for text in doubts)


def _buckets(settings: Settings) -> Iterator[Finding]:
    with open_store(settings) as store:
        for bucket in bucket_names(settings):
            yield from _told("bucket", bucket, partial(bucket_faults, store, bucket, settings))


def _told(
    area: str, name: str, check: Callable[[], Iterable[str]], doubts: Sequence[str] = ()
) -> Iterator[Finding]:
    try:
        texts = list(check())
    except (TransportError, ObjectError) as error:
        texts = [str(error)]
    yield from (Finding(area, name, "wrong", text) for text in texts)
    yield from (Finding(area, name, "warning", text) for text in doubts)
    if not texts and not doubts:
        yield Finding(area, name, "right")


def _sign_keys(settings: Settings) -> Iterator[Finding]:
    for file in settings.signing.key_files:
        yield _key(file, KEY_SETTING, KEY_BYTES_MINIMUM, "Signatures name it {}.")
    for file in settings.symfony.sign_key_files:
        yield _key(file, SYMFONY_KEY_SETTING)


def _key(file: Path, setting: str, bytes_minimum: int = 1, told: str = "") -> Finding:
    try:
        key = read_key(file, setting, bytes_minimum)
    except SignKeyUnusable as error:
        return Finding("signing key", str(file), "wrong", str(error))
    return Finding("signing key", str(file), "right", told.format(Key.of(key).id))


def _directories(settings: Settings) -> Iterator[Finding]:
    if not settings.attachments.buckets:
        return
    directory = settings.attachments.directory or settings.worker.state_directory
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    if os.access(existing, os.W_OK | os.X_OK) and existing.is_dir():
        yield Finding("directory", str(directory), "right")
    else:
        text = (
            f"Attachments are kept there while a job runs, and {existing} cannot be written to by this user."
        )
        yield Finding("directory", str(directory), "wrong", text)


def _directory(settings: Settings) -> Iterator[Finding]:
    faults = list(directory_faults(settings))
    yield from (Finding("directory of customers", name, state, text) for name, state, text in faults)
    if settings.directory.catalog is not None and not faults:
        yield Finding("directory of customers", CATALOG, "right")


def _shards(settings: Settings) -> Iterator[Finding]:
    with closing(Shards(settings.shards)) as shards:
        places = reachable_places(settings)
        for place, found in find_in_shards(settings, shards, places, SHARDS_AT_ONCE):
            yield from found
            # Where the shard cannot be asked, each of its tables would only say so again.
            if all(finding.state != "wrong" for finding in found):
                yield from _tables(settings, shards.get(place.shard), place)


def _tables(settings: Settings, shard: Shard, place: Place) -> Iterator[Finding]:
    for handler in settings.handlers.insert:
        name = f"{place_name(place)}.{handler.table}"
        yield from _told("table", name, partial(_table, handler, shard, place.schema))


def _table(handler: InsertHandler, shard: Shard, schema: str | None) -> list[str]:
    try:
        with shard.connect(schema, reading=True) as connection:
            facts = read_table(connection, handler.table, schema)
    except (SQLAlchemyError, KnownFailure) as error:
        failure = classify(error, shard.dialect)
        is_defect = failure.code == "schema_defect"
        reason = "It is missing, or may not be read by this user." if is_defect else failure.message
        return [f"{reason} Create the table for {handler.type!r}, or correct [[handlers.insert]]."]
    known = {column.name for column in facts.columns}
    wanted = [*(handler.columns or ()), *filter(None, [handler.customer_column])]
    missing = [column for column in wanted if column not in known]
    return [f"It has no column {column!r}, which {handler.type!r} is to fill." for column in missing]


def _handlers(settings: Settings) -> Iterator[Finding]:
    try:
        registry = load_registry(settings.handlers)
    except HandlerLoadFailed as error:
        yield Finding("handlers", "all", "wrong", str(error))
        return
    yield from _job_types(settings, registry)


def _middleware(settings: Settings) -> Iterator[Finding]:
    try:
        load_middleware(settings.handlers.middleware)
    except MiddlewareImportFailed as error:
        yield Finding("middleware", "all", "wrong", str(error))


def _job_types(settings: Settings, registry: Registry) -> Iterator[Finding]:
    if not registry:
        yield Finding(
            "handlers", "all", "wrong", "No job type is handled: add [handlers] modules or an insertion."
        )
    yield from (Finding("handler", job_type, "right") for job_type in registry)
    for job_type in settings.types:
        if job_type not in registry:
            yield Finding("job type", job_type, "warning", "It has a [types] section and no handler.")
    for job_type in settings.signing.required_types:
        if job_type not in registry and job_type != ALL_TYPES:
            text = "[signing] required_types asks for its signatures, and it has no handler: is it misspelt?"
            yield Finding("job type", job_type, "warning", text)
    for partner_id, partner in settings.partners.items():
        unknown = sorted(set(partner.types) - {"*"} - set(registry))
        if unknown:
            text = f"Granted job types have no handler: {', '.join(unknown)}."
            yield Finding("partner", partner_id, "warning", text)
