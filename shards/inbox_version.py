"""The check, at the first use of a place, that its tables are of a version that this release can use."""

from sqlalchemy import Connection

from shards.claims import inbox_faults
from shards.engines import Shard
from shards.inbox import InboxTooOld
from shards.migration_steps import LATEST_VERSION
from shards.migrations import read_version


def require_inbox(connection: Connection, shard: Shard, schema: str | None) -> None:
    """Check the version of the inbox that this connection writes to; one query, and none once it was right.

    Raises:
        InboxFault: the tables are missing, may not be read, or are older than this release needs. Newer ones
            are fine: a version only ever adds to the one before.
    """
    if schema in shard.proven_schemas:
        return
    with inbox_faults(shard.dialect):
        version = read_version(connection)
    if version < LATEST_VERSION:
        raise InboxTooOld(version)
    shard.proven_schemas.add(schema)
