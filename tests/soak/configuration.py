"""The configuration of a soak's workers: short leases and delays, so that much happens in little time."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.soak.cast import (
    BODIES,
    BUCKET,
    HOMES,
    LINES,
    MAX_ATTEMPTS,
    MAX_STARTS,
    NARROW_CUSTOMER,
    NARROW_PARTNER,
    PARTNER,
    ROWS,
    SHARDS,
    SHARED_ROWS,
    TYPES,
)
from tests.soak.queues import FAILURES, REQUESTS, RESPONSES

LEASE_SECONDS: Final = 8
TEMPLATE: Final = """
[queues]
request = ["{queue}/{requests}"]
response = "{queue}/{responses}"
failure = "{queue}/{failures}"
endpoint_url = "{buckets}"
region = "eu-west-1"
claim_check_buckets = ["{bodies}"]

[worker]
lease = "{lease}s"
drain = "5s"
concurrency = 6
in_hand_max = 60
running_interval = "1s"
state_directory = "{directory}/state"

[retry]
max_attempts = {max_attempts}
max_starts = {max_starts}
base_delay = "100ms"
max_delay = "2s"

[deferral]
unknown_grace = "0s"
busy_delay = "200ms"
busy_max_delay = "2s"
away_base_delay = "100ms"
away_max_delay = "2s"
probe_max_delay = "1s"

[handlers]
modules = {modules}

[types."{shared_rows}"]
group = 10

[partners.{partner}]
customers = ["*"]
types = ["*"]

[partners.{narrow_partner}]
customers = ["{narrow_customer}"]
types = {types}

[attachments]
buckets = ["{bucket}"]

[logging]
format = "json"
"""
INSERTION: Final = """
[[handlers.insert]]
type = "{type}"
table = "soak_rows"
source = "{source}"
columns = ["job_id", "number", "amount"]
customer_column = "customer_id"
"""
SHARD: Final = """
[shards.{name}]
url = "{url}"
server = "{server}"
limit = 4
connect_timeout = "3s"
lock_timeout = "2s"
"""


def configuration(
    directory: Path, queue: str, buckets: str, shard_urls: Mapping[str, str], *, is_bent: bool
) -> str:
    """The text of the file; `queue` is the beginning of the queues' URLs."""
    text = TEMPLATE.format(
        queue=queue,
        requests=REQUESTS,
        responses=RESPONSES,
        failures=FAILURES,
        buckets=buckets,
        bodies=BODIES,
        bucket=BUCKET,
        modules=json.dumps(["tests.soak.handlers", *(["tests.soak.bent"] if is_bent else [])]),
        lease=LEASE_SECONDS,
        directory=directory,
        max_attempts=MAX_ATTEMPTS,
        max_starts=MAX_STARTS,
        shared_rows=SHARED_ROWS,
        partner=PARTNER,
        narrow_partner=NARROW_PARTNER,
        narrow_customer=NARROW_CUSTOMER,
        types=json.dumps(TYPES),
    )
    sources = {ROWS: "payload", SHARED_ROWS: "payload", LINES: "attachments"}
    insertions = [INSERTION.format(type=name, source=source) for name, source in sources.items()]
    shards = [SHARD.format(name=name, url=shard_urls[name], server=SHARDS[name] or name) for name in SHARDS]
    homes = [f'{customer} = "{shard}"\n' for customer, shard in HOMES.items()]
    return "".join([text, *insertions, *shards, "\n[directory.customers]\n", *homes])
