"""Customer places: one customer in one schema of one shard, its transactions there and its placement row."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from shards.engines import Shard
from shards.failures import Failure, KnownFailure, classify
from shards.placement_rows import PlacementRow, read_row


@dataclass(frozen=True, slots=True)
class CustomerPlace:
    """Where a customer lives, lived or is to live."""

    customer_id: str
    shard: Shard
    schema: str | None

    @property
    def name(self) -> str:
        """The place for people: `eu1` or `eu1.customer_1003`."""
        return self.shard.name if self.schema is None else f"{self.shard.name}.{self.schema}"

    @contextmanager
    def transaction(self, *, reading: bool = False) -> Iterator[Connection]:
        """A transaction there, committed at the end of the block; raises `PlaceFailed`."""
        try:
            with self.shard.connect(self.schema, reading=reading) as connection, connection.begin():
                yield connection
        except (SQLAlchemyError, KnownFailure) as error:
            raise PlaceFailed(self, classify(error, self.shard.dialect)) from error

    def row(self) -> PlacementRow | None:
        """The customer's placement row there; raises `PlaceFailed`."""
        with self.transaction(reading=True) as connection:
            return read_row(connection, self.customer_id)


class PlaceFailed(Exception):
    """A place could not be asked or written to. `failure` tells what its database said."""

    def __init__(self, place: CustomerPlace, failure: Failure) -> None:
        hint = " Run `shardworker shards migrate`." if failure.code == "schema_defect" else ""
        super().__init__(f"{place.name} did not do what was asked: {failure.message}{hint}")
        self.failure = failure
