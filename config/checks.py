"""Checks across sections: what no single value shows. Problems refuse the start, warnings only say so."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from config.masking import holds_password
from config.measures import format_duration
from config.problems import Location, found, unknown_name
from config.settings import Partner, Settings, Shard
from config.signing_checks import signing_problems, signing_warnings
from config.symfony_checks import symfony_problems, symfony_warnings

SQS_LEASE_MINIMUM: Final = timedelta(seconds=3)
SQS_LEASE_MAXIMUM: Final = timedelta(hours=12)
QUEUE: Final = re.compile(
    r"sqs(\+https?)?://[^/\s]+(/\S+)?|(sql:///|sql\+[a-z0-9+]+://|(amqp|redis)s?://)\S+[?&]queue=\S+"
)
QUEUE_NAME: Final = re.compile(r"(?:sqs.*/|(?:sql|amqp|redis).*[?&]queue=)([^/?&]+).*")
BROKER: Final = re.compile(r"(?:amqp|redis)s?://.*")
BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
DATABASE: Final = re.compile(r"(postgresql|mysql|mariadb)(\+[a-z0-9]+)?://[^\s]+")
SQLITE_FILE: Final = re.compile(r"sqlite(\+[a-z0-9]+)?:////[^\s?]+(\?[^\s]*)?")

NAMES_SHOWN: Final = 3

QUEUE_FORMS: Final = (
    "a queue such as 'sqs://name', 'sql:///absolute/path.db?queue=name', "
    "'amqp://user@host/vhost?queue=name' or 'redis://host:6379/0?queue=name'"
)
BUCKET_FORMS: Final = "a bucket's name or 'file:///absolute/directory'"
DATABASE_FORMS: Final = (
    "a database such as 'postgresql+psycopg://user@host/name', 'mysql+pymysql://user@host/name' "
    "or 'sqlite:////absolute/path.db'"
)


class Finding(NamedTuple):
    """Something to tell about a place in the configuration."""

    location: Location
    text: str


def find_problems(settings: Settings) -> list[Finding]:
    """What makes the configuration unusable."""
    return [
        *_queue_problems(settings),
        *_lease_problems(settings),
        *_delay_problems(settings),
        *_shard_problems(settings),
        *_directory_problems(settings),
        *_placement_problems(settings),
        *_bucket_problems(settings),
        *_path_problems(settings),
        *_handler_problems(settings),
        *(Finding(location, text) for location, text in signing_problems(settings.signing)),
        *(Finding(location, text) for location, text in symfony_problems(settings.symfony)),
    ]


def find_warnings(settings: Settings) -> list[Finding]:
    """What is probably not meant, though the worker can start with it."""
    return [
        *_password_warnings(settings),
        *_shard_warnings(settings),
        *_partner_warnings(settings),
        *_room_warnings(settings),
        *_rate_warnings(settings),
        *(Finding(location, text) for location, text in signing_warnings(settings.signing)),
        *(Finding(location, text) for location, text in symfony_warnings(settings.symfony)),
    ]


def _queues(settings: Settings) -> Iterator[tuple[Location, str]]:
    for index, url in enumerate(settings.queues.request):
        yield ("queues", "request", index), url
    yield ("queues", "response"), settings.queues.response
    yield ("queues", "failure"), settings.queues.failure


def _queue_problems(settings: Settings) -> Iterator[Finding]:
    seen: set[str] = set()
    for location, url in _queues(settings):
        if not QUEUE.fullmatch(url):
            yield Finding(location, f"expected {QUEUE_FORMS}, found {found(url)}")
        elif url in seen:
            yield Finding(location, f"expected a queue of its own, found {found(url)}, which is named twice")
        seen.add(url)


def _password_warnings(settings: Settings) -> Iterator[Finding]:
    """A broker's password in the open, and a password for which there is no broker."""
    brokers = [(location, url) for location, url in _queues(settings) if BROKER.fullmatch(url)]
    for location, url in brokers:
        if holds_password(url):
            advice = "put it into a file of its own and name it in [queues] password_file"
            yield Finding(location, f"the password stands in the URL; {advice}")
    if settings.queues.password_file and all(holds_password(url) for _, url in brokers):
        yield Finding(
            ("queues", "password_file"),
            "it is read for no queue: only amqp:// and redis:// URLs without a password take it",
        )


def _is_database(url: str) -> bool:
    return DATABASE.fullmatch(url) is not None or SQLITE_FILE.fullmatch(url) is not None


def _lease_problems(settings: Settings) -> Iterator[Finding]:
    lease = settings.worker.lease
    if not any(url.startswith("sqs") for url in settings.queues.request):
        return
    if not SQS_LEASE_MINIMUM <= lease <= SQS_LEASE_MAXIMUM:
        # SQS counts whole seconds, and a poll takes a third of the lease at most.
        bounds = f"{format_duration(SQS_LEASE_MINIMUM)} to {format_duration(SQS_LEASE_MAXIMUM)}"
        yield Finding(
            ("worker", "lease"), f"expected {bounds} for an SQS queue, found {format_duration(lease)}"
        )


def _delay_problems(settings: Settings) -> Iterator[Finding]:
    pairs: list[tuple[Location, timedelta, str, timedelta]] = [
        (("retry", "max_delay"), settings.retry.max_delay, "base_delay", settings.retry.base_delay),
        (
            ("deferral", "busy_max_delay"),
            settings.deferral.busy_max_delay,
            "busy_delay",
            settings.deferral.busy_delay,
        ),
        (
            ("deferral", "away_max_delay"),
            settings.deferral.away_max_delay,
            "away_base_delay",
            settings.deferral.away_base_delay,
        ),
    ]
    for location, longest, name, base in pairs:
        if longest < base:
            least = f"at least {name}, {format_duration(base)}"
            yield Finding(location, f"expected {least}, found {format_duration(longest)}")


def _databases(settings: Settings) -> Iterator[tuple[Location, Shard]]:
    """Every shard, and the catalog, which has a shard's keys."""
    for name, shard in settings.shards.items():
        yield ("shards", name), shard
    if settings.directory.catalog is not None:
        yield ("directory", "catalog"), settings.directory.catalog


def _shard_problems(settings: Settings) -> Iterator[Finding]:
    for section, shard in _databases(settings):
        location = (*section, "url")
        if not _is_database(shard.url):
            yield Finding(location, f"expected {DATABASE_FORMS}, found {found(shard.url)}")
        elif shard.password_file and holds_password(shard.url):
            yield Finding(location, "expected no password beside password_file, found one in the URL")


def _directory_problems(settings: Settings) -> Iterator[Finding]:
    directory = settings.directory
    sources = {
        "customers": bool(directory.customers),
        "catalog": directory.catalog is not None,
        "function": directory.function is not None,
    }
    named = [name for name, is_there in sources.items() if is_there]
    if len(named) > 1:
        text = f"expected one source of customers, found {' and '.join(named)}: remove all but one"
        yield Finding(("directory",), text)


def _placement_problems(settings: Settings) -> Iterator[Finding]:
    for customer_id, placement in settings.directory.customers.items():
        if placement.shard not in settings.shards:
            problem = unknown_name(placement.shard, settings.shards, "shard")
            location = ("directory", "customers", customer_id)
            yield Finding(location, f"expected a shard's name, found {found(placement.shard)}: {problem}")


def _bucket_problems(settings: Settings) -> Iterator[Finding]:
    for location, bucket in _buckets(settings):
        directory = bucket.removeprefix("file://")
        is_directory = directory != bucket and PurePosixPath(directory).is_absolute()
        if not is_directory and not BUCKET.fullmatch(bucket):
            yield Finding(location, f"expected {BUCKET_FORMS}, found {found(bucket)}")


def _buckets(settings: Settings) -> Iterator[tuple[Location, str]]:
    for index, bucket in enumerate(settings.attachments.buckets):
        yield ("attachments", "buckets", index), bucket
    for index, bucket in enumerate(settings.queues.claim_check_buckets):
        yield ("queues", "claim_check_buckets", index), bucket
    if settings.queues.claim_check_bucket is not None:
        yield ("queues", "claim_check_bucket"), settings.queues.claim_check_bucket


def _path_problems(settings: Settings) -> Iterator[Finding]:
    paths = [
        (("queues", "password_file"), settings.queues.password_file),
        (("worker", "state_directory"), settings.worker.state_directory),
        (("attachments", "directory"), settings.attachments.directory),
        *(((*section, "password_file"), shard.password_file) for section, shard in _databases(settings)),
        *(((*section, "tls_ca_file"), shard.tls_ca_file) for section, shard in _databases(settings)),
    ]
    for location, path in paths:
        if path is not None and not path.is_absolute():
            wanted = "an absolute path" + (" or credential:NAME" if location[-1] == "password_file" else "")
            yield Finding(location, f"expected {wanted}, found {found(str(path))}")
    if settings.attachments.max_size > settings.attachments.max_disk:
        yield Finding(
            ("attachments", "max_disk"), "expected at least max_size, found less: it could never be used"
        )


def _handler_problems(settings: Settings) -> Iterator[Finding]:
    types: set[str] = set()
    for index, handler in enumerate(settings.handlers.insert):
        if handler.type in types:
            location = ("handlers", "insert", index, "type")
            yield Finding(
                location, f"expected one insertion for a job type, found {found(handler.type)} again"
            )
        types.add(handler.type)


def _shard_warnings(settings: Settings) -> Iterator[Finding]:
    if not settings.shards:
        yield Finding(("shards",), "there is no shard: every customer of every job will be unknown")
    for section, shard in _databases(settings):
        if holds_password(shard.url) and shard.password_file is None:
            advice = (
                "the password stands in the URL; put it into a file of its own and name it in password_file"
            )
            yield Finding((*section, "url"), advice)


def _partner_warnings(settings: Settings) -> Iterator[Finding]:
    for partner_id, partner in settings.partners.items():
        unknown = _unknown_customers(settings, partner)
        if unknown:
            names = ", ".join(found(customer) for customer in unknown[:NAMES_SHOWN])
            text = f"in no shard's directory: {names}{' and more' if len(unknown) > NAMES_SHOWN else ''}"
            yield Finding(("partners", partner_id, "customers"), text)
        if not partner.customers or not partner.types:
            text = "nothing is granted: both customers and types need an entry, or '*' for all"
            yield Finding(("partners", partner_id), text)


def _unknown_customers(settings: Settings, partner: Partner) -> list[str]:
    """The customers that nobody has; a catalog or function may have any."""
    directory = settings.directory
    if directory.catalog is not None or directory.function is not None:
        return []
    return [one for one in partner.customers if one != "*" and one not in directory.customers]


def _rate_warnings(settings: Settings) -> Iterator[Finding]:
    """Limits of what there is not; a catalog may have any partner."""
    queues = [match[1] for url in settings.queues.request if (match := QUEUE_NAME.fullmatch(url))]
    partners = settings.rate_limits.partners if settings.directory.catalog is None else {}
    for name in sorted(settings.rate_limits.queues.keys() - set(queues)):
        yield Finding(("rate_limits", "queues", name), unknown_name(name, queues, "request queue"))
    for name in sorted(partners.keys() - settings.partners.keys()):
        yield Finding(("rate_limits", "partners", name), unknown_name(name, settings.partners, "partner"))


def _room_warnings(settings: Settings) -> Iterator[Finding]:
    worker = settings.worker
    if worker.in_hand_max < worker.concurrency:
        text = (
            f"fewer jobs in hand ({worker.in_hand_max}) than threads ({worker.concurrency}): some stay idle"
        )
        yield Finding(("worker", "in_hand_max"), text)
