"""Parts: each one's transaction {claim, work, outcome}, and the inbox's other writes, retried in place."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from sqlalchemy import Connection, bindparam, select

from shards.claims import Claimed, claim, end_open, end_with_outcome, inbox_faults
from shards.directory import Placement
from shards.engines import Shard
from shards.guard import PartConnection, guarded_transaction
from shards.handler_work import Work, worked
from shards.inbox import InboxRow, Outcome, PartIdentity, inbox
from shards.inbox_version import require_inbox
from shards.transaction_tries import TransactionTries

_ROWS_OF_JOB: Final = select(inbox).where(inbox.c.job_id == bindparam("of_job"))

Written = TypeVar("Written")


class StartedBefore(Exception):
    """There are `starts` of the part that came to no end, other than was thought: it may kill its process."""

    def __init__(self, starts: int) -> None:
        self.starts = starts


class PartStore:
    """The inbox of one customer's database, as the worker writes it.

    Each method is a transaction of its own, retried in place on deadlocks and serialization failures up to
    `transaction_tries` times within seconds; `stop` ends the waits between the tries. `clock` gives seconds
    since 1970. With `check_placement`, each method first makes sure that the customer's placement row says
    active, with the placement's epoch, and holds it so until the transaction ends. Where a method finds an
    outcome, that outcome wins and is returned.

    Every method raises `PlacementStale` if the placement is checked and does not hold, `ContentConflict`,
    `Superseded`, `BrokenTransaction`, `InboxFault` and whatever the database or the work raises; `classify`
    tells what it means. After an error nothing was written, unless its kind is `away`: the next claim tells.
    """

    def __init__(
        self,
        shard: Shard,
        placement: Placement,
        *,
        clock: Callable[[], float],
        stop: threading.Event,
        transaction_tries: int,
        check_placement: bool = False,
    ) -> None:
        self._shard = shard
        self._schema = placement.schema
        self._checked_placement = placement if check_placement else None
        self._clock = clock
        self._tries = TransactionTries(shard.dialect, stop, transaction_tries)

    def run(self, identity: PartIdentity, work: Work) -> Outcome:
        """Run the part's work, once, in the transaction that records its outcome.

        `work` returns the outcome's body. It may be called again after a deadlock, and is not called where
        an outcome is there. It can neither commit nor roll back: `TransactionGuarded`.
        """
        return self._write(partial(self._run, identity, work))

    def fail(self, identity: PartIdentity, body: bytes, *, dead_letter: bool) -> Outcome:
        """Record that the part failed for good."""
        return self._record(partial(self._fail, identity, body, dead_letter=dead_letter))

    def fail_broken(self, identity: PartIdentity, body: bytes) -> Outcome:
        """Record a broken transaction, to be dead-lettered; takes the row that it left behind too."""
        return self._record(partial(self._fail, identity, body, dead_letter=True, take_claimed=True))

    def count_attempt(
        self,
        identity: PartIdentity,
        max_attempts: int,
        exhausted: Callable[[int], bytes],
        *,
        dead_letter: bool = True,
    ) -> Outcome | int:
        """Count a run of the part that ended in a transient failure, and with it the end of its start.

        Returns how many there were. The last of `max_attempts` fails the part instead, with the body that
        `exhausted` gives for the count.
        """
        return self._record(
            partial(self._count_attempt, identity, max_attempts, exhausted, dead_letter=dead_letter)
        )

    def count_start(
        self, identity: PartIdentity, max_starts: int, killed: bytes, *, known: int | None = None
    ) -> Outcome | None:
        """Record that a suspect part is about to start: `None`, and it may.

        After `max_starts` starts without an end it may not: the part failed with the body `killed`. Raises
        `StartedBefore`, and leaves the part, if it has other than `known` starts without an end.
        """
        return self._record(partial(self._count_start, identity, max_starts, killed, known=known))

    def take_back_start(self, identity: PartIdentity) -> None:
        """Take back a start that came to no end through no fault of the part: busy, shutdown, shard away."""
        self._record(partial(self._take_back_start, identity))

    def _run(self, identity: PartIdentity, work: Work, connection: PartConnection) -> Outcome:
        claimed = self._claim(connection, identity, self._clock())
        if isinstance(claimed, Outcome):
            return claimed
        body = worked(work, connection)
        outcome = Outcome("succeeded", identity.run, body, attempt=claimed.attempt)
        return end_with_outcome(connection, identity, claimed, outcome, self._clock())

    def _fail(
        self,
        identity: PartIdentity,
        body: bytes,
        connection: Connection,
        *,
        dead_letter: bool,
        take_claimed: bool = False,
    ) -> Outcome:
        now = self._clock()
        claimed = self._claim(connection, identity, now, take_claimed=take_claimed)
        if isinstance(claimed, Outcome):
            return claimed
        outcome = Outcome("failed", identity.run, body, dead_letter, claimed.attempt)
        return end_with_outcome(connection, identity, claimed, outcome, now)

    def _count_attempt(
        self,
        identity: PartIdentity,
        max_attempts: int,
        exhausted: Callable[[int], bytes],
        connection: Connection,
        *,
        dead_letter: bool,
    ) -> Outcome | int:
        now = self._clock()
        claimed = self._claim(connection, identity, now)
        if isinstance(claimed, Outcome):
            return claimed
        counted = Claimed(claimed.attempt + 1, _one_less(claimed.starts))
        if counted.attempt >= max_attempts:
            body = exhausted(counted.attempt)
            outcome = Outcome("failed", identity.run, body, dead_letter, counted.attempt)
            return end_with_outcome(connection, identity, counted, outcome, now)
        end_open(connection, identity, counted)
        return counted.attempt

    def _count_start(
        self,
        identity: PartIdentity,
        max_starts: int,
        killed: bytes,
        connection: Connection,
        *,
        known: int | None,
    ) -> Outcome | None:
        now = self._clock()
        claimed = self._claim(connection, identity, now)
        if isinstance(claimed, Outcome):
            return claimed
        if known is not None and claimed.starts != known:
            raise StartedBefore(claimed.starts)
        if claimed.starts >= max_starts:
            outcome = Outcome("failed", identity.run, killed, dead_letter=True, attempt=claimed.attempt)
            return end_with_outcome(connection, identity, claimed, outcome, now)
        end_open(connection, identity, claimed._replace(starts=claimed.starts + 1))
        return None

    def _take_back_start(self, identity: PartIdentity, connection: Connection) -> None:
        claimed = self._claim(connection, identity, self._clock())
        if isinstance(claimed, Claimed):
            end_open(connection, identity, claimed._replace(starts=_one_less(claimed.starts)))

    def _claim(
        self, connection: Connection, identity: PartIdentity, now: float, *, take_claimed: bool = False
    ) -> Outcome | Claimed:
        return claim(connection, identity, now, self._checked_placement, take_claimed=take_claimed)

    def _record(self, write: Callable[[Connection], Written]) -> Written:
        # where no handler had the transaction, each fault in it is the inbox's; after a handler's work it may
        # be the handler's (another search path, another role), and must not make the whole shard look away
        with inbox_faults(self._shard.dialect):
            return self._write(write)

    def _write(self, write: Callable[[PartConnection], Written]) -> Written:
        return self._tries.run(partial(self._in_transaction, write))

    def _in_transaction(self, write: Callable[[PartConnection], Written]) -> Written:
        with self._shard.connect(self._schema) as connection, guarded_transaction(connection):
            require_inbox(connection, self._shard, self._schema)
            return write(connection)


def find_outcomes(
    shard: Shard, schema: str | None, job_id: str, customer_ids: Sequence[str] | None
) -> dict[str, InboxRow]:
    """The inbox rows of these customers' parts, by customer, in one query; open ones too.

    Without customers (None), those of whoever has one there. A customer without a row is missing.

    Raises `InboxFault` and what `classify` reads.
    """
    with shard.connect(schema, reading=True) as connection, inbox_faults(shard.dialect):
        require_inbox(connection, shard, schema)
        found = connection.execute(_ROWS_OF_JOB, {"of_job": job_id}).mappings().all()
    asked = None if customer_ids is None else set(customer_ids)
    rows = (columns for columns in found if asked is None or columns["customer_id"] in asked)
    return {columns["customer_id"]: InboxRow.from_columns(columns) for columns in rows}


def _one_less(starts: int) -> int:
    return max(0, starts - 1)
