"""Claims: how a part's inbox row is taken inside a transaction, and how the claim is ended there."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Update, bindparam, select, update
from sqlalchemy.exc import SQLAlchemyError

from config.points import passed
from shards import failure_codes
from shards.dialects import TransactionState, insert_unless_present, same_transaction, transaction_state
from shards.directory import Placement
from shards.failures import Kind, KnownFailure, classify, failure_of
from shards.inbox import (
    BrokenTransaction,
    ContentConflict,
    InboxFault,
    InboxRow,
    InboxState,
    Outcome,
    PartIdentity,
    PlacementStale,
    Superseded,
    inbox,
    to_microseconds,
)
from shards.placement_rows import active_row, placement_rows
from shards.ready import execute_ready

CORRELATION_CHARACTERS_MAXIMUM: Final = 255
KEPT_KINDS: Final = frozenset({Kind.BUSY, Kind.AWAY, Kind.RETRY_TRANSACTION})

_KEY: Final = (inbox.c.job_id == bindparam("of_job"), inbox.c.customer_id == bindparam("of_customer"))
_READ: Final = select(inbox).where(*_KEY)
_LOCK: Final = _READ.with_for_update()
# on PostgreSQL a key share: it lets a move announce itself, where a plain share would let claims that
# overlap keep it waiting for ever
_LOCK_PLACEMENT: Final = (
    select(placement_rows.c.epoch).where(active_row()).with_for_update(read=True, key_share=True)
)
_TAKE: Final = update(inbox).where(*_KEY)
_END: Final[Mapping[str, Update]] = {
    dialect: _TAKE.where(inbox.c.state == InboxState.CLAIMED.value, same_transaction(dialect))
    for dialect in ("postgresql", "sqlite", "mysql", "mariadb")
}


class Claimed(NamedTuple):
    """The row is ours until the transaction ends; these are the counts that it had."""

    attempt: int = 0
    starts: int = 0


class RowVanished(KnownFailure):
    """The row that stood in the way of a claim was removed before it could be read: claim again."""

    def __init__(self) -> None:
        super().__init__(failure_of(failure_codes.CONFLICT))


def decide(identity: PartIdentity, row: InboxRow, *, take_claimed: bool = False) -> Outcome | Claimed:
    """What a row that is there already means for a claim: an outcome that wins, or the row taken over.

    With `take_claimed`, a row that a broken transaction left behind is taken too.

    Raises:
        ContentConflict: the row is another content's, in whatever run.
        Superseded: the row is a higher run's.
        BrokenTransaction: the row was committed while it was claimed.
    """
    if row.digest != identity.digest:
        raise ContentConflict(identity)
    if row.run > identity.run:
        raise Superseded(row.run)
    if row.state is InboxState.CLAIMED and not take_claimed:
        raise BrokenTransaction
    outcome = row.found_outcome()
    if outcome is not None and (outcome.state == "succeeded" or outcome.run == identity.run):
        return outcome
    return Claimed(row.attempt, row.starts) if row.run == identity.run else Claimed()


def claim(
    connection: Connection,
    identity: PartIdentity,
    now: float,
    placement: Placement | None = None,
    *,
    take_claimed: bool = False,
) -> Outcome | Claimed:
    """Take the part's row for this transaction, or find the outcome that it holds; one statement if new.

    With a `placement`, the customer must be active with its epoch, and stays so until the transaction ends.

    Raises:
        PlacementStale: the customer is not active here with the placement's epoch.
        InboxFault: a fault of the tables themselves.
        ContentConflict, Superseded, BrokenTransaction: see `decide`.
    """
    with inbox_faults(connection.dialect.name):
        if insert_unless_present(connection, new_row(identity, now), placement):
            passed("after_claim")
            return Claimed()
        if placement is not None:
            _lock_placement(connection, placement)
        row = _lock_row(connection, identity)
    decision = decide(identity, row, take_claimed=take_claimed)
    if isinstance(decision, Claimed):
        _take_over(connection, identity, decision)
        passed("after_claim")
    return decision


def end_with_outcome(
    connection: Connection, identity: PartIdentity, claimed: Claimed, outcome: Outcome, now: float
) -> Outcome:
    """Write the outcome on the claimed row.

    Raises:
        BrokenTransaction: the transaction that claimed the row was ended meanwhile.
        StatementFailedUnnoticed: a statement failed meanwhile, and with it the transaction.
    """
    finished = {
        "state": outcome.state,
        "outcome": outcome.body,
        "dead_letter": outcome.dead_letter,
        "finished_at": to_microseconds(now),
    }
    _end(connection, identity, {**claimed._asdict(), **finished})
    return outcome


def end_open(connection: Connection, identity: PartIdentity, counts: Claimed) -> None:
    """Leave the claimed row open, with these counts, for whoever claims it next."""
    _end(connection, identity, {**counts._asdict(), "state": InboxState.OPEN.value})


class StatementFailedUnnoticed(KnownFailure):
    """A handler went on after a statement had failed, in a transaction that can no longer be committed."""

    def __init__(self) -> None:
        super().__init__(failure_of(failure_codes.HANDLER, "a statement had failed and it went on"))


@contextmanager
def inbox_faults(dialect: str) -> Iterator[None]:
    """Faults of the inbox's own statements are `InboxFault`, but for those that any statement can meet."""
    try:
        yield
    except SQLAlchemyError as error:
        failure = classify(error, dialect)
        if failure.kind in KEPT_KINDS:
            raise
        raise InboxFault(failure) from error


def new_row(identity: PartIdentity, now: float) -> dict[str, Any]:
    """The row of a part that nobody has claimed before, as its claim inserts it."""
    return {
        "job_id": identity.job_id,
        "customer_id": identity.customer_id,
        "run": identity.run,
        "state": InboxState.CLAIMED.value,
        "attempt": 0,
        "starts": 0,
        "digest": identity.digest,
        "part_no": identity.part_no,
        "part_count": identity.part_count,
        "job_type": identity.job_type,
        "partner_id": identity.partner_id,
        "correlation_id": _in_ascii(identity.correlation_id),
        "dead_letter": False,
        "created_at": to_microseconds(now),
    }


def _in_ascii(text: str | None) -> str | None:
    # A database need not be in UTF-8: what it cannot store would keep the part from ever being recorded.
    if text is None:
        return None
    return text.encode("ascii", "backslashreplace").decode("ascii")[:CORRELATION_CHARACTERS_MAXIMUM]


def _key(identity: PartIdentity) -> dict[str, str]:
    return {"of_job": identity.job_id, "of_customer": identity.customer_id}


def _lock_row(connection: Connection, identity: PartIdentity) -> InboxRow:
    # SQLite's transaction holds the whole database already, and its compiler leaves FOR UPDATE out
    columns = connection.execute(_LOCK, _key(identity)).mappings().one_or_none()
    if columns is None:
        raise RowVanished
    return InboxRow.from_columns(columns)


def _lock_placement(connection: Connection, placement: Placement) -> None:
    active = {"of_customer": placement.customer_id, "of_epoch": placement.epoch}
    if connection.execute(_LOCK_PLACEMENT, active).one_or_none() is None:
        raise PlacementStale(
            f"Customer {placement.customer_id!r} is not active here with epoch {placement.epoch}: it was "
            "moved, or is being moved. Nothing was written; the directory is asked anew."
        )


def _take_over(connection: Connection, identity: PartIdentity, counts: Claimed) -> None:
    values = {
        "state": InboxState.CLAIMED.value,
        "run": identity.run,
        "correlation_id": _in_ascii(identity.correlation_id),
        "outcome": None,
        "dead_letter": False,
        "finished_at": None,
        **counts._asdict(),
    }
    with inbox_faults(connection.dialect.name):
        connection.execute(_TAKE, {**_key(identity), **values})


def _end(connection: Connection, identity: PartIdentity, values: Mapping[str, Any]) -> None:
    check_transaction(connection)
    if execute_ready(connection, _END[connection.dialect.name], {**_key(identity), **values}) != 1:
        raise BrokenTransaction


def check_transaction(connection: Connection) -> None:
    """Check that the work has left the transaction open and good, as far as the driver knows without asking.

    Raises:
        BrokenTransaction: it was ended.
        StatementFailedUnnoticed: a statement failed, and with it the transaction.
    """
    match transaction_state(connection):
        case TransactionState.ENDED:
            raise BrokenTransaction
        case TransactionState.ABORTED:
            raise StatementFailedUnnoticed
        case TransactionState.OPEN:
            return
