"""The catalog's tables: where customers live, what partners are granted, and what operators have stopped."""

from typing import Any, Final

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, inspect
from sqlalchemy.dialects.mysql import VARCHAR
from sqlalchemy.exc import SQLAlchemyError

from shards.engines import Shard
from shards.failures import KnownFailure, classify
from shards.inbox import identifier

catalog_tables: Final = MetaData()

_INNODB: Final[dict[str, Any]] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
}


def _name(length: int) -> String:
    """A column of any text, compared by its characters: MariaDB's default takes `A` for `a`."""
    binary = VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return String(length).with_variant(binary, "mysql", "mariadb")


customers: Final = Table(
    "customers",
    catalog_tables,
    Column("customer_id", identifier(128), primary_key=True),
    Column("shard", _name(128), nullable=False),
    Column("schema_name", _name(63)),
    Column("state", String(16), nullable=False, server_default="active"),
    Column("epoch", Integer, nullable=False, server_default="1"),
    Column("version", BigInteger, nullable=False, server_default="1"),
    **_INNODB,
)

grants: Final = Table(
    "grants",
    catalog_tables,
    Column("partner_id", identifier(64), primary_key=True),
    Column("customer_id", identifier(128), primary_key=True),
    Column("job_type", identifier(255), primary_key=True),
    **_INNODB,
)

controls: Final = Table(
    "controls",
    catalog_tables,
    Column("scope", String(16), primary_key=True),
    Column("name", _name(128), primary_key=True),
    Column("action", String(16), nullable=False),
    Column("since", BigInteger, nullable=False),
    **_INNODB,
)


def create_catalog(catalog: Shard) -> bool:
    """Create the catalog's tables where they are missing, and an SQLite catalog's file.

    Returns whether anything was missing. Raises what `classify` reads when the database refuses.
    """
    catalog.create_database()
    with catalog.connect() as connection, connection.begin():
        inspector = inspect(connection)
        missing = [table for table in catalog_tables.sorted_tables if not inspector.has_table(table.name)]
        for table in missing:
            table.create(connection)
        return bool(missing)


def check_catalog(catalog: Shard) -> list[str]:
    """What is wrong with the catalog's tables, a sentence each; empty when all is well."""
    try:
        with catalog.connect(reading=True) as connection:
            inspector = inspect(connection)
            return [
                fault for table in catalog_tables.sorted_tables for fault in _table_faults(inspector, table)
            ]
    except (SQLAlchemyError, KnownFailure) as error:
        return [f"The catalog cannot be checked: {classify(error, catalog.dialect).message}"]


def _table_faults(inspector: Any, table: Table) -> list[str]:
    if not inspector.has_table(table.name):
        return [f"The catalog has no table {table.name}. Run `shardworker setup`."]
    present = {column["name"] for column in inspector.get_columns(table.name)}
    return [
        f"The catalog's table {table.name} has no column {column.name}. Add it as docs/shards.md shows it."
        for column in table.columns
        if column.name not in present
    ]
