"""Placement rows: a customer's own row in its database, which every claim checks, so that a move is safe."""

from typing import Final

from sqlalchemy import Column, Integer, MetaData, String, Table

from shards.inbox import identifier

placement_rows: Final = Table(
    "shardworker_placement",
    MetaData(),
    Column("customer_id", identifier(128), primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
    mariadb_engine="InnoDB",
    mariadb_charset="utf8mb4",
)
