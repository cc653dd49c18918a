"""The worker's tables from version to version, on SQLite, and their text beside what SQLAlchemy says."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.dialects.mysql.mariadb import MariaDBDialect
from sqlalchemy.schema import CreateIndex, CreateTable

from shards.engines import Shard
from shards.inbox import inbox
from shards.migration_steps import LATEST_VERSION, STEPS
from shards.migrations import plan, script, version_rows
from shards.placement_rows import placement_rows
from tests.support.migration_protocol import MigrationProtocol
from tests.support.parts import shard_at

TABLES: tuple[Table, ...] = (version_rows, inbox, placement_rows)
DIALECTS: dict[str, Any] = {
    "sqlite": sqlite.dialect(),
    "postgresql": postgresql.dialect(),  # type: ignore[no-untyped-call]
    "mariadb": MariaDBDialect(),
    "mysql": mysql.dialect(),
}


@pytest.fixture(name="shard")
def empty_file(tmp_path: Path) -> Iterator[Shard]:
    path = tmp_path / "shard.db"
    path.touch()
    shard = shard_at(f"sqlite:///{path}")
    yield shard
    shard.close()


class TestMigrationsOnSQLite(MigrationProtocol):
    """The file's lock keeps runners apart."""


def words(statement: str) -> str:
    """The statement without the differences that mean nothing."""
    return re.sub(r"\s*([(),])\s*", r"\1", " ".join(statement.split()))


@pytest.mark.parametrize("name", DIALECTS)
def test_the_text_is_what_the_tables_say(name: str) -> None:
    """Column by column, for each database: what is created is what is written to."""
    dialect = DIALECTS[name]
    texts = {
        statement.creates: words(statement.text.format(schema=""))
        for statements in STEPS["mariadb" if name == "mysql" else name]
        for statement in statements
    }
    said = {
        table.name: words(str(CreateTable(table, if_not_exists=True).compile(dialect=dialect)))
        for table in TABLES
    }
    without_condition = name in {"mariadb", "mysql"}
    said |= {
        str(index.name): words(
            str(CreateIndex(index, if_not_exists=not without_condition).compile(dialect=dialect))
        )
        for index in inbox.indexes
    }

    assert texts == said


def test_every_dialect_has_every_version() -> None:
    """A version that one database lacks would never be reached there."""
    assert {len(steps) for steps in STEPS.values()} == {LATEST_VERSION}


@pytest.mark.parametrize("dialect", STEPS)
def test_names_of_schemas_are_quoted(dialect: str) -> None:
    """A name cannot end its quotes: not even one that the directory should have refused."""
    quote = "`" if dialect == "mariadb" else '"'
    texts = [text for step in script(dialect, f"a{quote}; DROP") for text in step.statements]

    assert all(f"{quote}a{quote * 2}; DROP{quote}.shardworker_" in text for text in texts)


def test_a_script_can_be_run_by_any_client(tmp_path: Path) -> None:
    """What a DBA is given makes the place that the runner would have made."""
    path = tmp_path / "by-hand.db"
    with closing(sqlite3.connect(path)) as database, database:
        for step in script("sqlite"):
            for statement in step.statements:
                database.execute(statement)
    shard = shard_at(f"sqlite:///{path}")

    assert plan(shard, None) == (LATEST_VERSION, [])
    shard.close()
