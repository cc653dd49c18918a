"""The inbox on the move: a customer's rows copied byte for byte while its parts go on, then the last ones."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, bindparam, delete, func, insert, select

from shards.customer_places import CustomerPlace
from shards.inbox import InboxState, inbox, to_microseconds

PAGE_ROWS: Final = 500
ROUNDS_MAXIMUM: Final = 5
FEW_ROWS: Final = 20
SLACK_SECONDS: Final = 3600.0
"""How far the clocks of workers and of this machine may be apart."""

_MINE: Final = inbox.c.customer_id == bindparam("of_customer")
_KEYED: Final = inbox.c.job_id.in_(bindparam("of_jobs", expanding=True))
_VERSION: Final = select(
    *(column for column in inbox.columns if column is not inbox.c.outcome),
    func.length(inbox.c.outcome).label("outcome_bytes"),
).where(_MINE)
_FIRST_PAGE: Final = _VERSION.order_by(inbox.c.job_id).limit(PAGE_ROWS)
_NEXT_PAGE: Final = _FIRST_PAGE.where(inbox.c.job_id > bindparam("after"))
_VERSIONS: Final = _VERSION.where(_KEYED)
_RECENT: Final = select(inbox.c.job_id).where(_MINE, inbox.c.created_at >= bindparam("since"))
_ROWS: Final = select(inbox).where(_MINE, _KEYED).order_by(inbox.c.job_id)
_REMOVE: Final = delete(inbox).where(_MINE, _KEYED)
_ANY: Final = select(inbox.c.job_id).where(_MINE).limit(1)

Version = RowMapping
Versions = dict[str, Version]
Hold = Callable[[], AbstractContextManager[Connection]]


class CopyDiffers(Exception):
    """A row read back from the target is not what was written there: the two tables are not alike."""

    def __init__(self, target: str) -> None:
        super().__init__(
            f"An inbox row read back from {target} differs from what was written there. Are the columns of "
            "its shardworker_inbox as `shardworker shards migrate` makes them, without triggers?"
        )


@dataclass(slots=True)
class CaughtUp:
    """What was seen and copied of the whole inbox so far, and what it leaves to look at.

    `settled` are the jobs of rows created since `since` that can never change again, `unsettled` those of
    rows of any age that can.
    """

    since: int
    rows: int = 0
    copied: int = 0
    settled: set[str] = field(default_factory=set)
    unsettled: set[str] = field(default_factory=set)

    def note(self, versions: Versions, copied: int) -> None:
        """Rows that are equal at both places now."""
        self.rows += len(versions.keys() - self.unsettled)
        self.copied += copied
        for job_id, version in versions.items():
            if version["state"] != InboxState.SUCCEEDED.value:
                self.unsettled.add(job_id)
                continue
            self.unsettled.discard(job_id)
            if version["created_at"] >= self.since:
                self.settled.add(job_id)


class InboxCopy:
    """A customer's inbox rows from one place to another.

    `hold` opens a transaction at the target in which this move is known to be still on; `now` gives seconds
    since 1970. Every method raises `PlaceFailed` and `CopyDiffers`.
    """

    def __init__(self, source: CustomerPlace, target: CustomerPlace, now: Callable[[], float]) -> None:
        self._source = source
        self._target = target
        self._now = now

    def catch_up(self, hold: Hold) -> CaughtUp:
        """Make the target's rows equal to the source's: all, page by page, then what changed meanwhile.

        A row that succeeded never changes again. So what is left to look at are rows that were created since
        the pass began (less the clocks' slack) and rows that had not succeeded. That holds for parts that
        were claimed after it began, or had ended by then.
        """
        caught = CaughtUp(to_microseconds(self._now() - SLACK_SECONDS))
        for page in self._pages(self._source):
            with hold() as connection:
                caught.note(page, self._level(connection, list(page), page))
        self._remove_strays(hold)
        for _ in range(ROUNDS_MAXIMUM):
            with hold() as connection:
                if self.follow(connection, caught) < FEW_ROWS:
                    break
        return caught

    def follow(self, connection: Connection, caught: CaughtUp) -> int:
        """Bring over what changed since, in a transaction at the target; how many rows."""
        with self._source.transaction(reading=True) as here:
            recent = set(here.execute(_RECENT, {**self._mine, "since": caught.since}).scalars())
        copied_before = caught.copied
        for page in _in_pages(sorted((recent - caught.settled) | caught.unsettled)):
            versions = self._source_versions(page)
            caught.note(versions, self._level(connection, page, versions))
        return caught.copied - copied_before

    def remove(self, hold: Hold) -> None:
        """Remove every row of the customer at the target."""
        for page in self._pages(self._target):
            with hold() as connection:
                connection.execute(_REMOVE, {**self._mine, "of_jobs": list(page)})

    def any_at_target(self, connection: Connection) -> bool:
        """Whether the target's inbox has a row of the customer."""
        return connection.execute(_ANY, self._mine).first() is not None

    @property
    def _mine(self) -> dict[str, Any]:
        return {"of_customer": self._source.customer_id}

    def _pages(self, place: CustomerPlace) -> Iterator[Versions]:
        statement, after = _FIRST_PAGE, ""
        while True:
            with place.transaction(reading=True) as connection:
                found = connection.execute(statement, {**self._mine, "after": after}).mappings().all()
            if not found:
                return
            yield {version["job_id"]: version for version in found}
            statement, after = _NEXT_PAGE, found[-1]["job_id"]

    def _source_versions(self, job_ids: Sequence[str]) -> Versions:
        with self._source.transaction(reading=True) as connection:
            return self._versions(connection, job_ids)

    def _versions(self, connection: Connection, job_ids: Sequence[str]) -> Versions:
        found = connection.execute(_VERSIONS, {**self._mine, "of_jobs": job_ids}).mappings()
        return {version["job_id"]: version for version in found}

    def _level(self, connection: Connection, job_ids: Sequence[str], here: Versions) -> int:
        there = self._versions(connection, job_ids)
        changed = [job_id for job_id in job_ids if here.get(job_id) != there.get(job_id)]
        if changed:
            self._replace(connection, changed)
        return len(changed)

    def _replace(self, connection: Connection, job_ids: Sequence[str]) -> None:
        keys = {**self._mine, "of_jobs": job_ids}
        with self._source.transaction(reading=True) as here:
            rows = [dict(row) for row in here.execute(_ROWS, keys).mappings()]
        connection.execute(_REMOVE, keys)
        if rows:
            connection.execute(insert(inbox), rows)
        written = {row["job_id"]: dict(row) for row in connection.execute(_ROWS, keys).mappings()}
        if written != {row["job_id"]: row for row in rows}:
            raise CopyDiffers(self._target.name)

    def _remove_strays(self, hold: Hold) -> None:
        # purged or removed by hand at the source since they were copied, or left from an earlier stay
        for page in self._pages(self._target):
            strays = sorted(page.keys() - self._source_versions(list(page)).keys())
            if strays:
                with hold() as connection:
                    connection.execute(_REMOVE, {**self._mine, "of_jobs": strays})


def _in_pages(job_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(job_ids), PAGE_ROWS):
        yield job_ids[first : first + PAGE_ROWS]
