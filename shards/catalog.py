"""The catalog: where customers live, what partners are granted and what operators have stopped, in SQL."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, RowMapping, and_, bindparam, delete, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from shards.catalog_tables import controls, customers, grants
from shards.directory import DirectoryUnavailable, Placement, PlacementState
from shards.engines import Shard
from shards.failures import KnownFailure, classify
from shards.inbox import from_microseconds, to_microseconds

KEYS_MAXIMUM: Final = 500


WORKERS: Final = "workers"
"""The scope of a stop mark among the controls; what it stops is no customer's parts."""


class Scope(StrEnum):
    """What a control stops: every customer of a shard, or one customer."""

    SHARD = "shard"
    CUSTOMER = "customer"


class Action(StrEnum):
    """What a control does: its parts wait, or they end as failed, `customer_gone`."""

    PAUSE = "pause"
    GIVE_UP = "give_up"


class Control(NamedTuple):
    """One shard or customer that operators have stopped, for all workers."""

    scope: str
    name: str
    action: str
    since: datetime


class EpochBehind(Exception):
    """A placement was to be written over a newer one of the same customer. Nothing was written."""

    def __init__(self, customer_id: str, epoch: int, newer: int) -> None:
        super().__init__(
            f"The customer {customer_id!r} is in epoch {newer} already; epoch {epoch} was not written. "
            "Somebody has moved it meanwhile: look where it lives now."
        )


Grant = tuple[str, str]
"""A customer and a job type, each of which can be `*`."""

_ON_SHARD: Final = controls.alias("on_shard")
_ON_CUSTOMER: Final = controls.alias("on_customer")
_PLACED: Final = select(
    customers.c.customer_id,
    customers.c.shard,
    customers.c.schema_name,
    customers.c.state,
    customers.c.epoch,
    _ON_SHARD.c.action.label("shard_action"),
    _ON_CUSTOMER.c.action.label("customer_action"),
).select_from(
    customers.outerjoin(
        _ON_SHARD, and_(_ON_SHARD.c.scope == Scope.SHARD.value, _ON_SHARD.c.name == customers.c.shard)
    ).outerjoin(
        _ON_CUSTOMER,
        and_(_ON_CUSTOMER.c.scope == Scope.CUSTOMER.value, _ON_CUSTOMER.c.name == customers.c.customer_id),
    )
)
_PLACED_OF: Final = _PLACED.where(customers.c.customer_id.in_(bindparam("keys", expanding=True)))
_PLACED_ALL: Final = _PLACED.order_by(customers.c.customer_id)
_GRANTED: Final = select(grants).where(grants.c.partner_id.in_(bindparam("keys", expanding=True)))
_MARKED: Final = select(controls.c.name, controls.c.since).where(
    controls.c.scope == WORKERS, controls.c.name.in_(bindparam("keys", expanding=True))
)
_STORED: Final = select(customers).where(customers.c.customer_id == bindparam("of_customer"))


class Catalog:
    """The catalog on one database. Safe to use from several threads at once.

    What it tells of a customer is as it stands there, with the controls laid over the state; whether a worker
    can use it is judged by `checked_placement`. Every method raises `DirectoryUnavailable` when the database
    cannot be asked or refuses.

    Args:
        shard: The database.
        clock: The time of day, in seconds since 1970.
    """

    def __init__(self, shard: Shard, clock: Callable[[], float]) -> None:
        self._shard = shard
        self._clock = clock

    def find(self, customer_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What is told of each customer; one without a row is missing."""
        rows = self._read(_PLACED_OF, customer_ids)
        return {row["customer_id"]: _told(row) for row in rows}

    def find_all(self) -> dict[str, dict[str, Any]]:
        """What is told of every customer, in the order of their ids."""
        with self._asked(reading=True) as connection:
            return {row["customer_id"]: _told(row) for row in connection.execute(_PLACED_ALL).mappings()}

    def find_grants(self, partner_ids: Sequence[str]) -> dict[str, frozenset[Grant]]:
        """What is granted to each partner; one to which nothing is granted is missing."""
        found: defaultdict[str, set[Grant]] = defaultdict(set)
        for row in self._read(_GRANTED, partner_ids):
            found[row["partner_id"]].add((row["customer_id"], row["job_type"]))
        return {partner_id: frozenset(granted) for partner_id, granted in found.items()}

    def set_placement(
        self,
        customer_id: str,
        shard: str,
        schema: str | None,
        state: PlacementState | None = None,
        *,
        epoch: int | None = None,
    ) -> Placement:
        """Write where a customer lives, as a whole; what stands there now.

        Without an `epoch`, it is 1 for a new customer, and grows by one with another shard or schema.
        Without a `state`, the stored one stays, and a new customer is active.

        Raises:
            EpochBehind: the customer's epoch is higher than the one given.
        """
        with self._asked() as connection:
            stored = _locked(connection, customer_id)
            state = state or PlacementState("active" if stored is None else stored["state"])
            written = Placement(
                customer_id, shard, schema, state, epoch or _next_epoch(stored, shard, schema)
            )
            if stored is not None and written.epoch < stored["epoch"]:
                raise EpochBehind(customer_id, written.epoch, stored["epoch"])
            _write(connection, written, None if stored is None else stored["version"])
        return written

    def remove_placement(self, customer_id: str) -> bool:
        """Forget a customer: to every worker it is unknown. Whether it was there."""
        with self._asked() as connection:
            statement = delete(customers).where(customers.c.customer_id == customer_id)
            return connection.execute(statement).rowcount > 0

    def grant(self, partner_id: str, customer_id: str, job_type: str) -> bool:
        """Grant a partner a job type for a customer, each `*` for all; whether it was not granted before."""
        with self._asked() as connection:
            if connection.execute(select(grants).where(_granted(partner_id, customer_id, job_type))).first():
                return False
            row = {"partner_id": partner_id, "customer_id": customer_id, "job_type": job_type}
            connection.execute(insert(grants), row)
            return True

    def revoke(self, partner_id: str, customer_id: str, job_type: str) -> bool:
        """Take back what `grant` gave in the same words; whether it was granted."""
        with self._asked() as connection:
            statement = delete(grants).where(_granted(partner_id, customer_id, job_type))
            return connection.execute(statement).rowcount > 0

    def pause(self, scope: Scope, name: str) -> None:
        """Let the parts of a shard's customers, or of one customer, wait, for all workers."""
        self._control(scope, name, Action.PAUSE)

    def give_up(self, scope: Scope, name: str) -> None:
        """Let the parts of a shard's customers, or of one customer, end as failed, `customer_gone`."""
        self._control(scope, name, Action.GIVE_UP)

    def resume(self, scope: Scope, name: str) -> bool:
        """Take a pause or a giving up back; whether there was one. A state of the customer's own stays."""
        with self._asked() as connection:
            return connection.execute(delete(controls).where(_controlled(scope, name))).rowcount > 0

    def controls(self) -> list[Control]:
        """What is stopped now, the oldest first."""
        listed = select(controls).where(controls.c.scope != WORKERS)
        with self._asked(reading=True) as connection:
            rows = connection.execute(listed.order_by(controls.c.since, controls.c.name)).mappings()
            return [
                Control(row["scope"], row["name"], row["action"], from_microseconds(row["since"]))
                for row in rows
            ]

    def find_stop_marks(self, names: Sequence[str]) -> dict[str, int]:
        """The stop marks of these names, each a number that another `set_stop_mark` changes."""
        return {row["name"]: row["since"] for row in self._read(_MARKED, names)}

    def set_stop_mark(self, name: str) -> None:
        """Change the stop mark of this name: which workers go by it, `worker.stop_marks` says."""
        of_name, now = _controlled(WORKERS, name), to_microseconds(self._clock())
        with self._asked() as connection:
            stored = connection.execute(select(controls.c.since).where(of_name)).scalar()
            if stored is None:
                row = {"scope": WORKERS, "name": name, "action": "stop", "since": now}
                connection.execute(insert(controls), row)
            else:
                # whatever this machine's clock says: the number has to be another one
                connection.execute(update(controls).where(of_name), {"since": max(now, stored + 1)})

    def close(self) -> None:
        """Close the connections that are idle."""
        self._shard.close()

    def _control(self, scope: Scope, name: str, action: Action) -> None:
        since = to_microseconds(self._clock())
        with self._asked() as connection:
            # what is stopped already keeps its time: it tells how long it has been so
            found = connection.execute(select(controls).where(_controlled(scope, name))).mappings().first()
            if found is None:
                row = {"scope": scope.value, "name": name, "action": action.value, "since": since}
                connection.execute(insert(controls), row)
            elif found["action"] != action.value:
                change = update(controls).where(_controlled(scope, name))
                connection.execute(change, {"action": action.value, "since": since})

    def _read(self, statement: Any, keys: Sequence[str]) -> list[RowMapping]:
        rows: list[RowMapping] = []
        with self._asked(reading=True) as connection:
            for first in range(0, len(keys), KEYS_MAXIMUM):
                chunk = list(keys[first : first + KEYS_MAXIMUM])
                rows += connection.execute(statement, {"keys": chunk}).mappings()
        return rows

    @contextmanager
    def _asked(self, *, reading: bool = False) -> Iterator[Connection]:
        try:
            with self._shard.connect(reading=reading) as connection, connection.begin():
                yield connection
        except (SQLAlchemyError, KnownFailure) as error:
            failure = classify(error, self._shard.dialect)
            hint = " `shardworker setup` makes its tables." if failure.code == "schema_defect" else ""
            raise DirectoryUnavailable(f"The catalog cannot be asked: {failure.message}{hint}") from error


def _told(row: RowMapping) -> dict[str, Any]:
    """A row as `checked_placement` reads it, with the strictest of its state and its controls."""
    state, actions = row["state"], (row["shard_action"], row["customer_action"])
    if Action.GIVE_UP in actions:
        state = PlacementState.GONE.value
    elif state == PlacementState.ACTIVE and actions != (None, None):
        # also for an action that this release does not know: somebody meant to stop something
        state = PlacementState.PAUSED.value
    return {"shard": row["shard"], "schema": row["schema_name"], "state": state, "epoch": row["epoch"]}


def _locked(connection: Connection, customer_id: str) -> RowMapping | None:
    found = connection.execute(_STORED.with_for_update(), {"of_customer": customer_id})
    return found.mappings().one_or_none()


def _next_epoch(stored: RowMapping | None, shard: str, schema: str | None) -> int:
    if stored is None:
        return 1
    epoch: int = stored["epoch"]
    return epoch if (stored["shard"], stored["schema_name"]) == (shard, schema) else epoch + 1


def _write(connection: Connection, placement: Placement, version: int | None) -> None:
    values: dict[str, Any] = {
        "shard": placement.shard,
        "schema_name": placement.schema,
        "state": placement.state.value,
        "epoch": placement.epoch,
    }
    if version is None:
        connection.execute(insert(customers), {"customer_id": placement.customer_id, **values, "version": 1})
    else:
        change = update(customers).where(customers.c.customer_id == placement.customer_id)
        connection.execute(change, {**values, "version": version + 1})


def _granted(partner_id: str, customer_id: str, job_type: str) -> Any:
    return and_(
        grants.c.partner_id == partner_id,
        grants.c.customer_id == customer_id,
        grants.c.job_type == job_type,
    )


def _controlled(scope: str, name: str) -> Any:
    return and_(controls.c.scope == str(scope), controls.c.name == name)
