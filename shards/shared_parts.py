"""Shared transactions: parts of one place that are claimed, run and committed together, or not at all."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from shards.directory import Placement
from shards.engines import Shard
from shards.guard import PartConnection, guarded_transaction
from shards.inbox import Outcome, PartIdentity
from shards.inbox_version import require_inbox
from shards.lending import watched
from shards.shared_claims import claim_all, end_all, lock_placements
from shards.unbroken import unbroken_transaction


class Member(NamedTuple):
    """A part that shares; `work` returns the body of its outcome, and takes the connection by `lent`."""

    identity: PartIdentity
    placement: Placement
    work: Callable[[PartConnection], bytes]


class Apart(Exception):
    """The parts do not go together: nothing of any of them was committed, or nobody knows whether it was.

    `culprit` is the part in whose work it failed; None where it was in none's. What it means is found out by
    running each part alone, whose claim finds the outcome if the COMMIT has arrived.
    """

    def __init__(self, culprit: PartIdentity | None) -> None:
        super().__init__("Parts that shared a transaction are run each by itself.")
        self.culprit = culprit


def run_together(
    shard: Shard, members: Sequence[Member], clock: Callable[[], float], *, check_placement: bool = False
) -> dict[PartIdentity, Outcome]:
    """Run parts that nobody has claimed before, in one transaction without savepoints.

    All are placed in one schema of the shard, and no two are the same job's for the same customer. They are
    claimed in the order of their customers, as everybody does who claims several: so that none waits for
    whoever waits for it.

    Raises:
        Apart: any failure at all; its cause says why.
    """
    running = _Running(clock)
    in_order = sorted(members, key=lambda member: (member.identity.customer_id, member.identity.job_id))
    try:
        with (
            shard.connect(in_order[0].placement.schema) as connection,
            guarded_transaction(connection),
        ):
            require_inbox(connection, shard, in_order[0].placement.schema)
            if check_placement:
                lock_placements(connection, [member.placement for member in in_order])
            return running.run(connection, in_order)
    except BaseException as error:
        raise Apart(running.current) from error


class _Running:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.current: PartIdentity | None = None

    def run(self, connection: PartConnection, members: Sequence[Member]) -> dict[PartIdentity, Outcome]:
        claim_all(connection, [member.identity for member in members], self._clock())
        with unbroken_transaction(connection), watched(connection):
            bodies = {member.identity: self._work(connection, member) for member in members}
            self.current = None
        end_all(connection, bodies, self._clock())
        return {identity: Outcome("succeeded", identity.run, body) for identity, body in bodies.items()}

    def _work(self, connection: PartConnection, member: Member) -> bytes:
        self.current = member.identity
        return member.work(connection)
