"""The checks across sections of the configuration."""

from typing import Any

import pytest

from config.checks import find_problems, find_warnings
from config.problems import key_path
from config.settings import Settings

BASE: dict[str, Any] = {
    "queues": {"request": ["sqs://jobs"], "response": "sqs://results", "failure": "sqs://failures"},
    "shards": {"eu1": {"url": "sqlite:////data/eu1.db"}},
    "directory": {"customers": {"c1": "eu1"}},
}


def told(finder: Any, **sections: Any) -> dict[str, str]:
    merged = {name: {**BASE.get(name, {}), **section} for name, section in sections.items()}
    settings = Settings.model_validate({**BASE, **merged})
    return {key_path(finding.location): finding.text for finding in finder(settings)}


def test_a_plain_configuration_has_neither_problems_nor_warnings() -> None:
    """The checks have nothing to say where all is well."""
    assert told(find_problems) == {}
    assert told(find_warnings) == {}


@pytest.mark.parametrize(
    "url",
    [
        "sqs://jobs",
        "sqs://sqs.eu-west-1.amazonaws.com/123456789012/jobs",
        "sqs+http://127.0.0.1:9324/000000000000/jobs",
        "sql:///var/lib/queues.db?queue=jobs",
        "sql+postgresql+psycopg://user@host/db?queue=jobs",
        "amqps://user@host:5671/vhost?queue=jobs",
        "redis://host:6379/0?queue=jobs",
    ],
)
def test_every_form_of_queue_is_taken(url: str) -> None:
    """The forms that the transports open."""
    assert told(find_problems, queues={"request": [url]}) == {}


@pytest.mark.parametrize(
    "url",
    [
        "jobs",
        "sqs:/jobs",
        "sqs://",
        "sql:///x.db",
        "amqp://h/jobs",
        "",
    ],
)
def test_what_is_no_queue_is_a_problem(url: str) -> None:
    """A queue that no transport can open is told at start, not at the first receive."""
    assert "expected a queue such as" in told(find_problems, queues={"response": url})["queues.response"]


@pytest.mark.parametrize(
    "url",
    [
        "sqs://jobs",
        "sqs+http://127.0.0.1:9324/000000000000/jobs",
        "sql:///var/lib/queues.db?queue=jobs",
        "sql+postgresql+psycopg://user@host/db?queue=jobs&connect_timeout=3",
        "amqp://user@host/vhost?queue=jobs",
        "rediss://host:6379/0?queue=jobs",
    ],
)
def test_a_rate_limit_of_what_is_not_there_is_probably_a_mistake(url: str) -> None:
    """A limit that limits nobody looks like one that does."""
    limits = {"queues": {"jobs": "1/s", "job": "1/s"}, "partners": {"acme": "1/s", "acne": "1/s"}}
    partners = {"acme": {"customers": ["*"], "types": ["*"]}}

    assert told(find_warnings, rate_limits=limits, partners=partners, queues={"request": [url]}) == {
        "rate_limits.queues.job": 'unknown request queue; did you mean "jobs"?',
        "rate_limits.partners.acne": 'unknown partner; did you mean "acme"?',
    }


def test_a_brokers_password_in_its_url_is_warned_of() -> None:
    """The file can be read by more people than a password is for."""
    texts = told(find_warnings, queues={"request": ["amqp://u:s3cret@h/?queue=jobs"]})

    assert "[queues] password_file" in texts["queues.request[0]"]
    assert "s3cret" not in str(texts)


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("amqp://u@h/?queue=jobs", set()),
        ("redis://h/0?queue=jobs", set()),
        ("sqs://jobs", {"queues.password_file"}),
        ("amqp://u:p@h/?queue=jobs", {"queues.password_file", "queues.request[0]"}),
    ],
)
def test_a_password_file_that_no_queue_takes_is_warned_of(url: str, warned: set[str]) -> None:
    """Who wrote it believes that it is in use."""
    queues = {"request": [url], "password_file": "/etc/shardworker/passwords/rabbitmq"}

    assert told(find_warnings, queues=queues).keys() == warned


def test_the_password_file_of_the_queues_has_an_absolute_path() -> None:
    """Or the name of a credential, which is a path by then."""
    texts = told(find_problems, queues={"password_file": "rabbitmq"})

    assert texts["queues.password_file"].startswith("expected an absolute path or credential:NAME")


def test_two_queues_that_are_the_same_are_a_problem() -> None:
    """Results on the request queue would come back as bad messages for ever."""
    assert "named twice" in told(find_problems, queues={"failure": "sqs://jobs"})["queues.failure"]


@pytest.mark.parametrize(
    ("lease", "is_problem"), [("2s", True), ("3s", False), ("12h", False), ("13h", True)]
)
def test_an_sqs_lease_is_3_seconds_to_12_hours(lease: str, is_problem: bool) -> None:  # noqa: FBT001  # a table
    """Shorter than that could end before its first renewal, longer is refused by SQS."""
    assert ("worker.lease" in told(find_problems, worker={"lease": lease})) is is_problem


def test_an_embedded_queue_takes_a_short_lease() -> None:
    """Nothing rounds its times to whole seconds."""
    queues = {"request": ["sql:///data/q.db?queue=jobs"]}

    assert told(find_problems, queues=queues, worker={"lease": "2s"}) == {}


@pytest.mark.parametrize(
    "url", ["sqlite:///data/eu1.db", "sqlite://", "oracle://h/d", "eu1", "postgresql:/x"]
)
def test_a_shard_needs_a_database_url_with_an_absolute_path(url: str) -> None:
    """A relative path would mean another database for each directory that the worker is started in."""
    found = told(find_problems, shards={"eu1": {"url": url}})

    assert "expected a database such as" in found["shards.eu1.url"]


CATALOG = {"url": "postgresql://u@h/catalog"}


@pytest.mark.parametrize(
    ("directory", "sources"),
    [
        ({"customers": {"c-1": "eu1"}, "catalog": CATALOG}, "customers and catalog"),
        ({"customers": {"c-1": "eu1"}, "function": "m:f"}, "customers and function"),
        ({"customers": {}, "catalog": CATALOG, "function": "m:f"}, "catalog and function"),
    ],
)
def test_two_sources_of_customers_are_a_problem(directory: dict[str, Any], sources: str) -> None:
    """Which of them would win is for nobody to guess."""
    found = told(find_problems, directory=directory)

    assert found == {"directory": f"expected one source of customers, found {sources}: remove all but one"}


@pytest.mark.parametrize("directory", [{}, {"catalog": CATALOG}, {"function": "m:f"}])
def test_one_source_of_customers_or_none_is_no_problem(directory: dict[str, Any]) -> None:
    """Without any, every customer is unknown."""
    assert told(find_problems, directory={"customers": {}, **directory}) == {}


def test_the_catalog_is_checked_as_a_shard_is() -> None:
    """Its URL, its password and its files."""
    catalog = {"url": "oracle://u@h/d", "password_file": "secret", "tls_ca_file": "ca.pem"}
    found = told(find_problems, directory={"customers": {}, "catalog": catalog})
    assert set(found) == {f"directory.catalog.{key}" for key in ("url", "password_file", "tls_ca_file")}

    warned = told(find_warnings, directory={"catalog": {"url": "postgresql://u:p@h/d"}})
    assert "the password stands in the URL" in warned["directory.catalog.url"]


def test_a_granted_customer_may_be_in_the_catalog() -> None:
    """Only the file's own map tells who is in no directory."""
    partners = {"acme": {"customers": ["c-1"], "types": ["*"]}}

    assert "partners.acme.customers" in told(find_warnings, partners=partners)
    assert told(find_warnings, partners=partners, directory={"customers": {}, "function": "m:f"}) == {}


def test_a_placement_on_an_unknown_shard_is_a_problem() -> None:
    """It says which shard may have been meant."""
    found = told(find_problems, directory={"customers": {"c-1": {"shard": "eu2"}}})

    assert found == {
        "directory.customers.c-1": 'expected a shard\'s name, found "eu2": unknown shard; did you mean "eu1"?'
    }


@pytest.mark.parametrize("bucket", ["Acme", "a/b", "s3://acme", "file://relative", "file:///", "no"])
def test_a_bucket_is_a_name_or_an_absolute_directory(bucket: str) -> None:
    """What S3 would refuse as a name is told at start; so is a relative directory."""
    is_problem = "attachments.buckets[0]" in told(find_problems, attachments={"buckets": [bucket]})

    assert is_problem is (bucket != "file:///")


def test_relative_paths_are_problems() -> None:
    """Every path of the file is absolute, whatever directory the worker is started in."""
    found = told(
        find_problems,
        worker={"state_directory": "state"},
        attachments={"directory": "files"},
        shards={"eu1": {"url": "postgresql://u@h/d", "password_file": "secret"}},
    )

    assert set(found) == {"worker.state_directory", "attachments.directory", "shards.eu1.password_file"}


def test_limits_that_contradict_each_other_are_problems() -> None:
    """The longest delay is at least the first one; a disk holds at least one attachment."""
    found = told(
        find_problems,
        retry={"base_delay": "1m", "max_delay": "30s"},
        deferral={"away_base_delay": "10m"},
        attachments={"max_size": "2GiB", "max_disk": "1GiB"},
    )

    assert set(found) == {"retry.max_delay", "deferral.away_max_delay", "attachments.max_disk"}


def test_two_insertions_for_one_type_are_a_problem() -> None:
    """Which of them would run could not be told."""
    insertion = {"type": "orders.insert", "table": "orders"}

    assert "handlers.insert[1].type" in told(find_problems, handlers={"insert": [insertion, insertion]})


def test_a_password_beside_a_password_file_is_a_problem() -> None:
    """One of the two would be ignored silently."""
    shard = {"url": "postgresql://u:p@h/d", "password_file": "/run/x"}

    assert "found one in the URL" in told(find_problems, shards={"eu1": shard})["shards.eu1.url"]


def test_a_password_in_a_url_is_a_warning() -> None:
    """The worker starts, and says where the password belongs."""
    found = told(find_warnings, shards={"eu1": {"url": "postgresql://u:p@h/d"}})

    assert "password_file" in found["shards.eu1.url"]


def test_a_partner_with_unknown_customers_or_without_grants_is_a_warning() -> None:
    """The customer may be placed later; until then its jobs are answered as unknown."""
    found = told(
        find_warnings,
        partners={"acme": {"customers": ["c1", "c2", "*"], "types": ["t"]}, "idle": {"customers": ["c1"]}},
    )

    assert found["partners.acme.customers"] == 'in no shard\'s directory: "c2"'
    assert "nothing is granted" in found["partners.idle"]


def test_no_shard_and_too_little_room_are_warnings() -> None:
    """Neither is sensible, both may be wanted while a worker is set up."""
    settings = Settings.model_validate({"queues": BASE["queues"], "worker": {"in_hand_max": 4}})
    places = [key_path(finding.location) for finding in find_warnings(settings)]

    assert places == ["shards", "worker.in_hand_max"]
