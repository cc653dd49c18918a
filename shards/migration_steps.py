"""The versions of the worker's own tables in each place, as the text that each database is given.

A new version is one more entry at the end of each list, and only ever adds: workers of the version before
go on with the tables meanwhile. `{schema}` stands for the place's quoted schema and a dot, or for nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple


class Statement(NamedTuple):
    """One statement and the name of the table or index that it creates."""

    creates: str
    text: str


VERSION_TABLE: Final = "shardworker_version"

_SQLITE: Final = (
    (
        Statement(
            "shardworker_version",
            """\
CREATE TABLE IF NOT EXISTS {schema}shardworker_version (
    version INTEGER NOT NULL,
    PRIMARY KEY (version)
)""",
        ),
        Statement(
            "shardworker_inbox",
            """\
CREATE TABLE IF NOT EXISTS {schema}shardworker_inbox (
    job_id VARCHAR(60) NOT NULL,
    customer_id VARCHAR(128) NOT NULL,
    run INTEGER NOT NULL,
    state VARCHAR(16) NOT NULL,
    attempt INTEGER NOT NULL,
    starts INTEGER NOT NULL,
    digest VARCHAR(64) NOT NULL,
    part_no INTEGER NOT NULL,
    part_count INTEGER NOT NULL,
    job_type VARCHAR(255) NOT NULL,
    partner_id VARCHAR(64) NOT NULL,
    correlation_id VARCHAR(255),
    outcome BLOB,
    dead_letter BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    PRIMARY KEY (job_id, customer_id)
)""",
        ),
        Statement(
            "shardworker_inbox_created_at",
            """\
CREATE INDEX IF NOT EXISTS {schema}shardworker_inbox_created_at
    ON shardworker_inbox (created_at)""",
        ),
    ),
    (
        Statement(
            "shardworker_placement",
            """\
CREATE TABLE IF NOT EXISTS {schema}shardworker_placement (
    customer_id VARCHAR(128) NOT NULL,
    epoch INTEGER NOT NULL,
    state VARCHAR(16) NOT NULL,
    PRIMARY KEY (customer_id)
)""",
        ),
    ),
)

_POSTGRESQL: Final = (
    (
        Statement(
            "shardworker_version",
            """\
CREATE TABLE IF NOT EXISTS {schema}shardworker_version (
    version INTEGER NOT NULL,
    PRIMARY KEY (version)
)""",
        ),
        Statement(
            "shardworker_inbox",
            """\
CREATE TABLE IF NOT EXISTS {schema}shardworker_inbox (
    job_id VARCHAR(60) NOT NULL,
    customer_id VARCHAR(128) NOT NULL,
    run INTEGER NOT NULL,
    state VARCHAR(16) NOT NULL,
    attempt INTEGER NOT NULL,
    starts INTEGER NOT NULL,
    digest VARCHAR(64) NOT NULL,
    part_no INTEGER NOT NULL,
    part_count INTEGER NOT NULL,
    job_type VARCHAR(255) NOT NULL,
    partner_id VARCHAR(64) NOT NULL,
    correlation_id VARCHAR(255),
    outcome BYTEA,
    dead_letter BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    PRIMARY KEY (job_id, customer_id)
)""",
        ),
        Statement(
            "shardworker_inbox_created_at",
            """\
CREATE INDEX IF NOT EXISTS shardworker_inbox_created_at
    ON {schema}shardworker_inbox (created_at)""",
        ),
    ),
    (
        Statement(
            "shardworker_placement",
            """\
CREATE TABLE IF NOT EXISTS {schema}shardworker_placement (
    customer_id VARCHAR(128) NOT NULL,
    epoch INTEGER NOT NULL,
    state VARCHAR(16) NOT NULL,
    PRIMARY KEY (customer_id)
)""",
        ),
    ),
)

# The index has no IF NOT EXISTS: MySQL does not know it. No statement is run whose object is there.
_MARIADB: Final = (
    (
        Statement(
            "shardworker_version",
            """\
CREATE TABLE IF NOT EXISTS {schema}shardworker_version (
    version INTEGER NOT NULL,
    PRIMARY KEY (version)
) ENGINE=InnoDB CHARSET=utf8mb4""",
        ),
        Statement(
            "shardworker_inbox",
            """\
CREATE TABLE IF NOT EXISTS {schema}shardworker_inbox (
    job_id VARCHAR(60) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    customer_id VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    run INTEGER NOT NULL,
    state VARCHAR(16) NOT NULL,
    attempt INTEGER NOT NULL,
    starts INTEGER NOT NULL,
    digest VARCHAR(64) NOT NULL,
    part_no INTEGER NOT NULL,
    part_count INTEGER NOT NULL,
    job_type VARCHAR(255) NOT NULL,
    partner_id VARCHAR(64) NOT NULL,
    correlation_id VARCHAR(255),
    outcome BLOB(16777215),
    dead_letter BOOL NOT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    PRIMARY KEY (job_id, customer_id)
) ENGINE=InnoDB CHARSET=utf8mb4""",
        ),
        Statement(
            "shardworker_inbox_created_at",
            """\
CREATE INDEX shardworker_inbox_created_at
    ON {schema}shardworker_inbox (created_at)""",
        ),
    ),
    (
        Statement(
            "shardworker_placement",
            """\
CREATE TABLE IF NOT EXISTS {schema}shardworker_placement (
    customer_id VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    epoch INTEGER NOT NULL,
    state VARCHAR(16) NOT NULL,
    PRIMARY KEY (customer_id)
) ENGINE=InnoDB CHARSET=utf8mb4""",
        ),
    ),
)

STEPS: Final[Mapping[str, Sequence[Sequence[Statement]]]] = {
    "sqlite": _SQLITE,
    "postgresql": _POSTGRESQL,
    "mariadb": _MARIADB,
}
"""For each dialect the statements of version 1, of version 2, and so on."""

LATEST_VERSION: Final = 2

RECORD: Final = "INSERT INTO {schema}shardworker_version (version) VALUES ({version})"
