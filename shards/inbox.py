"""The inbox: the table that makes a part idempotent and keeps its outcome, and what is written there."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Literal, Self

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    RowMapping,
    String,
    Table,
    inspect,
)
from sqlalchemy.dialects.mysql import VARCHAR
from sqlalchemy.exc import SQLAlchemyError

from shards import failure_codes
from shards.engines import Shard
from shards.failures import Failure, KnownFailure, classify, failure_of
from shards.migration_steps import LATEST_VERSION
from shards.migrations import find_version, migrate

OUTCOME_BYTES_MAXIMUM: Final = 2**24 - 1
MIGRATE: Final = "`shardworker shards migrate`"


def identifier(length: int) -> String:
    """A column of printable ASCII without spaces, compared by bytes: MariaDB's default takes `A` for `a`."""
    binary = VARCHAR(length, charset="ascii", collation="ascii_bin")
    return String(length).with_variant(binary, "mysql", "mariadb")


# Times are microseconds since 1970 in UTC, as whole numbers: the one form that every database stores,
# compares and gives back alike, without a time zone, a rounding or a driver's idea of either.
inbox: Final = Table(
    "shardworker_inbox",
    MetaData(),
    Column("job_id", identifier(60), primary_key=True),
    Column("customer_id", identifier(128), primary_key=True),
    Column("run", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("starts", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("part_no", Integer, nullable=False),
    Column("part_count", Integer, nullable=False),
    Column("job_type", String(255), nullable=False),
    Column("partner_id", String(64), nullable=False),
    Column("correlation_id", String(255)),
    Column("outcome", LargeBinary(OUTCOME_BYTES_MAXIMUM)),
    Column("dead_letter", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Index("shardworker_inbox_created_at", "created_at"),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
    mariadb_engine="InnoDB",
    mariadb_charset="utf8mb4",
)


class InboxState(StrEnum):
    """What a row says of its part. `claimed` is seen only inside the transaction that claimed it."""

    CLAIMED = "claimed"
    OPEN = "open"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PartIdentity:
    """Which part it is, in which run, and the digest of what it asks for."""

    job_id: str
    customer_id: str
    run: int
    digest: str
    part_no: int
    part_count: int
    job_type: str
    partner_id: str
    correlation_id: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a part ended. `body` is its entry in the result, as bytes; `run` is the run that ended so.

    `dead_letter`: the message goes to the failure queue as well. `attempt`: how often it was tried in vain.
    """

    state: Literal["succeeded", "failed"]
    run: int
    body: bytes
    dead_letter: bool = False
    attempt: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class InboxRow:
    """A part's row as it stands in the inbox."""

    job_id: str
    customer_id: str
    run: int
    state: InboxState
    attempt: int
    starts: int
    digest: str
    part_no: int
    part_count: int
    job_type: str
    partner_id: str
    correlation_id: str | None
    outcome: bytes | None
    dead_letter: bool
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def from_columns(cls, columns: RowMapping) -> Self:
        """The row that a SELECT of all columns gave."""
        values: dict[str, Any] = dict(columns)
        values["state"] = InboxState(values["state"])
        values["created_at"] = from_microseconds(values["created_at"])
        if values["finished_at"] is not None:
            values["finished_at"] = from_microseconds(values["finished_at"])
        return cls(**values)

    def found_outcome(self) -> Outcome | None:
        """The outcome that the row holds; `None` while the part is open."""
        match self.state:
            case InboxState.SUCCEEDED:
                return Outcome("succeeded", self.run, self.outcome or b"", self.dead_letter, self.attempt)
            case InboxState.FAILED:
                return Outcome("failed", self.run, self.outcome or b"", self.dead_letter, self.attempt)
            case InboxState.OPEN | InboxState.CLAIMED:
                return None


class ContentConflict(Exception):
    """Another content came before under the same job and customer. The answer belongs to the first."""

    def __init__(self, identity: PartIdentity) -> None:
        super().__init__(
            f"Job {identity.job_id!r} came before with another content for customer "
            f"{identity.customer_id!r}. Nothing was run; send changed content under a job id of its own."
        )


class Superseded(Exception):
    """The inbox holds a higher run of this part: the copy of a lower one is answered by nobody."""

    def __init__(self, run: int) -> None:
        super().__init__(f"Run {run} of this part is known already; a copy of a lower run is not answered.")
        self.run = run


class PlacementStale(Exception):
    """The customer is not active where the directory said: ask it again."""


class BrokenTransaction(KnownFailure):
    """The handler ended its own transaction: what it wrote is not protected. It is never run again."""

    def __init__(self) -> None:
        super().__init__(failure_of(failure_codes.BROKEN))


class InboxFault(KnownFailure):
    """A fault of the inbox table itself: the shard counts as away, and its operators are to be told."""

    def __init__(self, cause: Failure) -> None:
        remedy = "Run `shardworker shards migrate`, or grant the worker its rights"
        reason = f"its inbox table: {cause.message} {remedy}"
        super().__init__(failure_of(failure_codes.AWAY, reason))


class InboxTooOld(InboxFault):
    """The worker's tables are of a version that this release cannot use."""

    def __init__(self, version: int) -> None:
        reason = (
            f"its inbox has version {version} and this release needs {LATEST_VERSION}: "
            "run `shardworker shards migrate`"
        )
        KnownFailure.__init__(self, failure_of(failure_codes.AWAY, reason))


def to_microseconds(seconds: float) -> int:
    """A clock's reading as the inbox stores it."""
    return round(seconds * 1_000_000)


def from_microseconds(microseconds: int) -> datetime:
    """A stored time, in UTC."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def create_inbox(shard: Shard, schema: str | None) -> bool:
    """Create the worker's tables where they are missing or old, and an SQLite shard's file.

    Returns whether anything was missing. Raises what `classify` reads when the database refuses.
    """
    shard.create_database()
    migrated = migrate(shard, schema)
    return migrated.old < migrated.new


def check_inbox(shard: Shard, schema: str | None) -> list[str]:
    """What is wrong with the worker's tables, a sentence each; empty when all is well."""
    try:
        with shard.connect(schema, reading=True) as connection:
            inspector = inspect(connection)
            if not inspector.has_table(inbox.name, schema=schema):
                return [f"{_place(shard, schema)} has no table {inbox.name}. Run {MIGRATE}."]
            columns = {column["name"] for column in inspector.get_columns(inbox.name, schema=schema)}
            indexes = {index["name"] for index in inspector.get_indexes(inbox.name, schema=schema)}
        version = find_version(shard, schema)
    except (SQLAlchemyError, KnownFailure) as error:
        return [f"{_place(shard, schema)} cannot be checked: {classify(error, shard.dialect).message}"]
    where = f"{_place(shard, schema)}: the table {inbox.name}"
    absent = [column.name for column in inbox.columns if column.name not in columns]
    wanted = f"`shardworker shards migrate --sql --dialect {shard.dialect}`"
    texts = [f"{where} has no column {name}. Compare it with {wanted}." for name in absent]
    missing = [index.name for index in inbox.indexes if index.name not in indexes]
    texts += [f"{where} has no index {name}. Run {MIGRATE}." for name in missing]
    if version < LATEST_VERSION and not missing:
        texts.append(f"{where} has version {version}, not {LATEST_VERSION}. Run {MIGRATE}.")
    return texts


def _place(shard: Shard, schema: str | None) -> str:
    return f"Shard {shard.name!r}" if schema is None else f"Shard {shard.name!r}, schema {schema!r}"
