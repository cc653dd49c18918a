"""The demo's configuration file, written for its reader: the smallest one that has every part of the way."""

import json
from collections.abc import Iterable
from string import Template
from typing import Final

from worker.demo.cast import CUSTOMERS, INSERT_LINES, INSERT_ORDERS, PARTNERS, SHARDS, Partner, shard_of
from worker.demo.place import Place
from worker.demo.queues import USES

TEMPLATE: Final = Template("""\
# Made by `shardworker demo`: three queues, three databases and a bucket.
# Try the other commands on it with --config and this file's name.

[queues]
# $kind
request = [$request]
response = $response
failure = $failure
$password$region
[worker]
concurrency = 4
lease = "30s"
state_directory = $state

[deferral]
# A job type or customer that is not known yet is waited for, because a newer worker may know it.
# The demo has no newer worker: it refuses at once.
unknown_grace = "0s"
# What waits does so briefly here.
busy_delay = "200ms"
busy_max_delay = "2s"
away_base_delay = "200ms"
away_max_delay = "5s"

[retry]
base_delay = "200ms"

[handlers]
# A handler in Python: handlers/sample.py, for the job type "orders.import".
modules = ["handlers.sample"]

# Insertions that need no Python: rows from the job's payload, and rows from its CSV or JSON Lines files.
[[handlers.insert]]
type = $insert_orders
table = "orders"
source = "payload"
columns = ["order_no", "ordered_on", "note"]
customer_column = "customer_id"

[[handlers.insert]]
type = $insert_lines
table = "order_lines"
source = "attachments"
columns = ["order_no", "line_no", "article", "quantity", "price_cents"]
customer_column = "customer_id"

# What each partner may do.
$partners
# The databases. In production: "postgresql://…" or "mariadb://…".
$shards
# Where each customer lives.
[directory.customers]
$customers

[attachments]
# A directory in place of an S3 bucket; each partner has a folder in it.
buckets = [$bucket]
max_size = "16MiB"

[logging]
format = "json"

[metrics]
stats_interval = "5s"
""")


EMBEDDED: Final = 'The embedded queue: one SQLite file in place of SQS. In production: "sqs://queue-name".'
ON_A_BROKER: Final = "On the broker that was named; they stay there when this directory is removed."


def configuration(place: Place) -> str:
    """The text of the demo's configuration file."""
    requests, results, failures = (_quoted(place.queues.url_of(use)) for use in USES)
    password = None if place.queues.password is None else str(place.password)
    return TEMPLATE.substitute(
        kind=ON_A_BROKER if place.queues.names else EMBEDDED,
        request=requests,
        response=results,
        failure=failures,
        password=_setting("password_file", password),
        region=_setting("region", place.queues.region),
        state=_quoted(str(place.state)),
        insert_orders=_quoted(INSERT_ORDERS),
        insert_lines=_quoted(INSERT_LINES),
        partners="\n".join(_partner(partner) for partner in PARTNERS),
        shards="\n".join(f"[shards.{name}]\nurl = {_quoted(place.shard_url(name))}\n" for name in SHARDS),
        customers="\n".join(f"{customer} = {_quoted(shard_of(customer))}" for customer in CUSTOMERS),
        bucket=_quoted(place.bucket.as_uri()),
    )


def _partner(partner: Partner) -> str:
    customers = ("*",) if partner.customers == CUSTOMERS else partner.customers
    return (
        f"[partners.{partner.partner_id}]\n"
        f"customers = [{_listed(customers)}]\n"
        f"types = [{_listed(partner.types)}]\n"
    )


def _setting(name: str, value: str | None) -> str:
    return "" if value is None else f"{name} = {_quoted(value)}\n"


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(_quoted(text) for text in texts)


def _quoted(text: str) -> str:
    # TOML's basic strings take JSON's escapes, but not halves of a surrogate pair.
    return json.dumps(text, ensure_ascii=False)
