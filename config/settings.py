"""The typed settings: every section and key of the configuration file, with its default and its checks."""

from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, model_validator

from config.measures import Duration, Size
from config.rate_limits import RateLimits
from config.row_forms import DateForm, Encoding, Separator
from config.section import Section, Whole
from config.signing import Signing
from config.symfony import Symfony

LISTEN_PATTERN: Final = r"^([0-9.]+|\[[0-9a-fA-F:.]+\]|localhost):[0-9]{1,5}(-[0-9]{1,5})?$"
"""`address:port`, or with a range of ports of which the first free one is taken."""


class Queues(Section):
    """`[queues]`: where jobs come from, where results and dead letters go."""

    request: list[str] = Field(min_length=1)
    response: str
    failure: str
    claim_check_bucket: str | None = None
    claim_check_buckets: list[str] = []
    endpoint_url: str | None = None
    region: str | None = None
    password_file: Path | None = None

    @property
    def readable_buckets(self) -> frozenset[str]:
        """The buckets that a message may refer to: what went through our own comes back in retries."""
        own = [] if self.claim_check_bucket is None else [self.claim_check_bucket]
        return frozenset([*self.claim_check_buckets, *own])


class Worker(Section):
    """`[worker]`: how much a process takes in hand and how long it holds it."""

    concurrency: Whole = Field(default=8, ge=1, le=64)
    prepare_threads: Whole = Field(default=4, ge=1, le=32)
    in_hand_max: Whole = Field(default=100, ge=1, le=10_000)
    lease: Duration = Field(default=timedelta(seconds=120), ge=timedelta(seconds=1))
    drain: Duration = timedelta(seconds=60)
    result_linger: Duration = timedelta(milliseconds=50)
    ack_linger: Duration = timedelta(milliseconds=500)
    running_interval: Duration = Field(default=timedelta(seconds=5), ge=timedelta(seconds=1))
    state_directory: Path = Path("/var/lib/shardworker")


class Retry(Section):
    """`[retry]`: transient failures. Delays grow exponentially, with full jitter."""

    max_attempts: Whole = Field(default=5, ge=1, le=100)
    base_delay: Duration = timedelta(seconds=2)
    max_delay: Duration = timedelta(minutes=15)
    transaction_tries: Whole = Field(default=5, ge=1, le=20)
    max_starts: Whole = Field(default=3, ge=1, le=20)
    suspect_receives: Whole = Field(default=5, ge=2, le=1000)


class Deferral(Section):
    """`[deferral]`: waits that count no attempt."""

    unknown_grace: Duration = timedelta(minutes=10)
    busy_delay: Duration = timedelta(seconds=5)
    busy_max_delay: Duration = timedelta(minutes=1)
    away_base_delay: Duration = timedelta(seconds=1)
    away_max_delay: Duration = timedelta(minutes=5)
    probe_max_delay: Duration = timedelta(seconds=15)


class InsertHandler(Section):
    """`[[handlers.insert]]`: a job type that inserts rows into one table, without Python."""

    type: str
    table: str
    source: Literal["payload", "attachments"] = "payload"
    rows_key: str = "rows"
    columns: list[str] | None = None
    customer_column: str | None = None
    chunk_rows: Whole = Field(default=1000, ge=1, le=100_000)
    conflict: Literal["error", "ignore", "update"] = "error"
    conflict_columns: list[str] | None = Field(default=None, min_length=1)
    on_bad_row: Literal["fail", "skip"] = "fail"
    bad_rows_maximum: Whole = Field(default=10_000, ge=1, le=100_000)
    encoding: Encoding = "utf-8"
    separator: Separator = ","
    date_form: DateForm | None = None
    datetime_form: DateForm | None = None
    max_unpacked: Size = Field(default=4 * 2**30, ge=1)


class Handlers(Section):
    """`[handlers]`: the Python modules to look for handlers in, the middleware, the built-in insertions."""

    modules: list[str] = []
    middleware: list[str] = []
    insert: list[InsertHandler] = []


class JobType(Section):
    """`[types."orders.insert"]`: limits of one job type."""

    timeout: Duration = timedelta(minutes=10)
    group: Whole = Field(default=1, ge=1, le=50)


class Partner(Section):
    """`[partners.acme]`: the customers and job types granted to a partner; `*` grants all."""

    customers: list[str] = []
    types: list[str] = []


TlsMode = Literal["off", "prefer", "require", "verify"]


class Shard(Section):
    """`[shards.eu1]`: one database.

    Without `tls`, certificates are verified, but for a server of this machine.
    """

    url: str
    server: str | None = Field(default=None, min_length=1)
    limit: Whole | None = Field(default=None, ge=1, le=64)
    password_file: Path | None = None
    tls: TlsMode | None = None
    tls_ca_file: Path | None = None
    pooler: bool = False
    connect_timeout: Duration = Field(
        default=timedelta(seconds=3), ge=timedelta(seconds=1), le=timedelta(minutes=1)
    )
    lock_timeout: Duration = timedelta(seconds=5)
    statement_timeout: Duration = timedelta(minutes=5)


class Server(Section):
    """`[servers."db1:5432"]`: a host with one or more shards, by its `host:port`."""

    limit: Whole | None = Field(default=None, ge=1, le=64)
    connections: Whole = Field(default=20, ge=1, le=1000)


class CustomerPlacement(Section):
    """`[directory.customers]`: where one customer lives."""

    shard: str
    schema_name: str | None = Field(default=None, alias="schema", pattern=r"^[A-Za-z_][A-Za-z0-9_$-]{0,62}$")
    state: Literal["active", "paused", "moving", "gone"] = "active"
    epoch: Whole = Field(default=1, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _shard_alone(cls, value: Any) -> Any:
        return {"shard": value} if isinstance(value, str) else value


class Directory(Section):
    """`[directory]`: the map from customer to shard, from one of three sources.

    `customers` is the file's own map; `catalog` an SQL database, with a shard's keys; `function` a Python
    function, as `module:name`.
    """

    customers: dict[str, CustomerPlacement] = {}
    catalog: Shard | None = None
    function: str | None = Field(default=None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    cache: Duration = Field(default=timedelta(seconds=5), gt=timedelta(), le=timedelta(seconds=10))
    stale: Duration = Field(default=timedelta(hours=1), ge=timedelta())
    placement_rows: bool = False


class Inbox(Section):
    """`[inbox]`: how long a part's outcome is kept; older jobs are refused as `too_old`."""

    retention: Duration = Field(default=timedelta(days=30), ge=timedelta(minutes=1))


class Attachments(Section):
    """`[attachments]`: the allowed buckets (`name` or `file:///directory`) and the limits."""

    buckets: list[str] = []
    max_size: Size = Field(default=512 * 2**20, ge=1)
    max_disk: Size = Field(default=2 * 2**30, ge=1)
    directory: Path | None = None


class Logging(Section):
    """`[logging]`: level, and JSON lines or people's form (`auto`: people's form on a terminal)."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"


class Metrics(Section):
    """`[metrics]`: how often the stats line is written and queues are asked, and where metrics are served."""

    stats_interval: Duration = Field(default=timedelta(minutes=1), ge=timedelta(seconds=1))
    listen: str | None = Field(default=None, pattern=LISTEN_PATTERN)
    emf: bool = False


class Ec2(Section):
    """`[ec2]`: what `shardworker ec2 watch` does when its EC2 machine has to go."""

    look_interval: Duration = Field(default=timedelta(seconds=5), ge=timedelta(milliseconds=50))
    metadata_patience: Duration = timedelta(minutes=1)
    stop_command: list[str] = Field(
        default=["systemctl", "stop", "shardworker.target", "shardworker@*.service"], min_length=1
    )
    hurry_command: list[str] = Field(
        # Another signal than that of the stop: two of the same can reach a process as one. And a unit that
        # has failed has no main process: asked for it, the command would fail and be run again.
        default=[
            *("systemctl", "kill", "--state=active,deactivating", "--kill-whom=main", "--signal=SIGINT"),
            "shardworker@*.service",
        ],
        min_length=1,
    )
    start_command: list[str] = Field(default=["systemctl", "start", "shardworker.target"], min_length=1)
    drain_limit: Duration = timedelta(hours=1)
    release_margin: Duration = timedelta(seconds=30)
    group: str | None = None
    hook: str | None = None
    on_rebalance: Literal["log", "drain"] = "log"
    protect_after: Duration | None = Field(default=None, ge=timedelta(seconds=1))


class Settings(Section):
    """The whole configuration."""

    queues: Queues
    worker: Worker = Worker()
    retry: Retry = Retry()
    deferral: Deferral = Deferral()
    handlers: Handlers = Handlers()
    types: dict[str, JobType] = {}
    partners: dict[str, Partner] = {}
    shards: dict[str, Shard] = {}
    servers: dict[str, Server] = {}
    directory: Directory = Directory()
    rate_limits: RateLimits = RateLimits()
    inbox: Inbox = Inbox()
    attachments: Attachments = Attachments()
    signing: Signing = Signing()
    symfony: Symfony = Symfony()
    logging: Logging = Logging()
    metrics: Metrics = Metrics()
    ec2: Ec2 = Ec2()
