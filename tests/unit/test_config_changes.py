"""A changed configuration: what a running process can take is taken, and the rest is named."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.changes import take_changes
from config.checks import find_problems
from config.settings import Settings

TABLES: dict[str, Any] = {
    "queues": {
        "request": ["sql:///q.db?queue=a"],
        "response": "sql:///q.db?queue=b",
        "failure": "sql:///q.db?queue=c",
    },
    "partners": {"acme": {"customers": ["c-1"], "types": ["*"]}},
    "shards": {"eu1": {"url": "postgresql://a@h/eu1"}, "eu2": {"url": "postgresql://a@h/eu2", "limit": 2}},
    "directory": {"customers": {"c-1": "eu1"}},
    "symfony": {"sign_key_files": ["/key"]},
    "signing": {"key_files": ["/key"]},
}

TAKEN: list[tuple[dict[str, Any], str]] = [
    ({"logging": {"level": "debug"}}, "logging.level"),
    ({"worker": {"concurrency": 3}}, "worker.concurrency"),
    ({"worker": {"drain": "5m"}}, "worker.drain"),
    ({"retry": {"max_attempts": 7}}, "retry.max_attempts"),
    ({"deferral": {"busy_delay": "1s"}}, "deferral.busy_delay"),
    ({"types": {"orders.insert": {"timeout": "5m"}}}, 'types."orders.insert"'),
    ({"partners": {"acme": {"customers": ["*"]}}}, "partners"),
    ({"shards": {"eu2": {"limit": 9}}}, "shards.eu2.limit"),
    ({"shards": {"eu3": {"url": "sqlite:////eu3.db"}}}, "shards.eu3"),
    ({"servers": {"h:5432": {"connections": 5}}}, 'servers."h:5432"'),
    ({"directory": {"customers": {"c-2": "eu2"}}}, "directory.customers"),
    ({"rate_limits": {"partner": "1/s"}}, "rate_limits.partner"),
    ({"rate_limits": {"customers": {"c-1": "1/s"}}}, "rate_limits.customers"),
    ({"symfony": {"types": {"App\\Order": "orders.insert"}}}, 'symfony.types."App\\\\Order"'),
    ({"symfony": {"fields": {"jobId": "job_id"}}}, "symfony.fields.jobId"),
    ({"symfony": {"sign_key_files": ["/new", "/key"]}}, "symfony.sign_key_files"),
    ({"symfony": {"signed_types": ["App\\Order"]}}, "symfony.signed_types"),
    ({"signing": {"key_files": ["/new", "/key"]}}, "signing.key_files"),
    ({"signing": {"required_types": ["*"], "key_files": ["/key"]}}, "signing.required_types"),
]

LEFT: list[tuple[dict[str, Any], str]] = [
    ({"worker": {"lease": "9s"}}, "worker.lease"),
    ({"worker": {"in_hand_max": 9}}, "worker.in_hand_max"),
    ({"logging": {"format": "text"}}, "logging.format"),
    ({"queues": {"request": ["sql:///q.db?queue=z"]}}, "queues.request"),
    ({"handlers": {"modules": ["mine"]}}, "handlers.modules"),
    ({"shards": {"eu1": {"url": "postgresql://a@elsewhere/eu1"}}}, "shards.eu1.url"),
    ({"directory": {"placement_rows": True}}, "directory.placement_rows"),
    ({"inbox": {"retention": "60d"}}, "inbox.retention"),
    ({"symfony": {"failure_stamps": True}}, "symfony.failure_stamps"),
]


def merged(tables: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    result = deepcopy(tables)
    for name, value in change.items():
        both = isinstance(value, dict) and isinstance(result.get(name), dict)
        result[name] = merged(result[name], value) if both else value
    return result


def settings(*changes: dict[str, Any]) -> Settings:
    tables = TABLES
    for change in changes:
        tables = merged(tables, change)
    return Settings.model_validate(tables)


@pytest.mark.parametrize(("change", "path"), TAKEN, ids=[path for _, path in TAKEN])
def test_what_a_running_process_can_take_is_taken(change: dict[str, Any], path: str) -> None:
    """And named as the file writes it; of partners and customers, which are many, only the table."""
    changes = take_changes(settings(), settings(change))

    assert changes.settings == settings(change)
    assert (changes.changed, changes.needs_restart) == ((path,), ())


@pytest.mark.parametrize(("change", "path"), LEFT, ids=[path for _, path in LEFT])
def test_what_needs_a_restart_is_named_and_left(change: dict[str, Any], path: str) -> None:
    """The process goes on with what it started with."""
    changes = take_changes(settings(), settings(change))

    assert changes.settings == settings()
    assert (changes.changed, changes.needs_restart) == ((), (path,))


def test_a_shard_that_is_missing_stays_until_the_restart() -> None:
    """Its parts may be running."""
    old = settings({"shards": {"eu3": {"url": "sqlite:////eu3.db"}}})
    changes = take_changes(old, settings())

    assert changes.settings.shards == old.shards
    assert changes.needs_restart == ("shards.eu3",)


def test_customers_that_come_from_elsewhere_need_a_restart() -> None:
    """A catalog in place of the file's customers is not opened while jobs run; nor are both ever in force."""
    tables = {**TABLES, "directory": {"catalog": {"url": "sqlite:////catalog.db"}}}
    with_catalog = Settings.model_validate(tables)

    there = take_changes(settings(), with_catalog)
    back = take_changes(with_catalog, settings())

    assert (there.settings, back.settings) == (settings(), with_catalog)
    assert there.needs_restart == ("directory.customers", "directory.catalog")
    assert back.needs_restart == ("directory.customers", "directory.catalog")


@given(
    before=st.lists(st.sampled_from([change for change, _ in TAKEN + LEFT]), max_size=4),
    after=st.lists(st.sampled_from([change for change, _ in TAKEN + LEFT]), max_size=4),
)
def test_whatever_changes_is_either_taken_or_named(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    """What comes out is sound, and taking the same file again changes nothing more."""
    old, new = settings(*before), settings(*after)
    changes = take_changes(old, new)
    again = take_changes(changes.settings, new)

    assert list(find_problems(changes.settings)) == []
    assert (again.settings, again.changed) == (changes.settings, ())
    assert again.needs_restart == changes.needs_restart
    assert (old == new) == (not changes.changed and not changes.needs_restart)
    assert (changes.settings == new) == (not changes.needs_restart)
