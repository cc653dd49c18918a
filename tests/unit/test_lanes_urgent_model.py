"""The lanes with several priorities under every order of steps: the urgent first, and nobody forgotten."""

from collections.abc import Iterable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.support.lanes import Piece, rules_of, take
from tests.unit.test_lanes_model import COUNT, PARTNERS, SHARD, SHARDS, SICK, SLOW_AFTER, LanesMachine
from worker.lane import Reply, Taken

SERVERS = ("db1.", "db2.")


class UrgentLanesMachine(LanesMachine):
    """The machine of one priority, with all its promises, and those of several."""

    @initialize(
        limit=st.integers(1, 4),
        server_limit=st.integers(1, 5),
        held=st.integers(1, 4),
        sick=SICK,
        threads=st.integers(1, 6),
    )
    def open(  # noqa: D102 - as it says there
        self, limit: int, server_limit: int, held: int, sick: tuple[str, ...], threads: int = 64
    ) -> None:
        super().open(limit=limit, server_limit=server_limit, held=held, sick=sick)
        self.threads = threads
        self.lanes.apply(
            rules_of(limit, held, server_limit=server_limit, slow_after=SLOW_AFTER, threads=threads)
        )
        self.some_missed = False

    @rule(
        shard=SHARD,
        partner=st.sampled_from(PARTNERS),
        job=st.integers(1, 3),
        count=COUNT,
        priority=st.integers(0, 2),
    )
    def offer(self, shard: str, partner: str, job: int, count: int, priority: int = 0) -> None:
        """A job of some priority offers some parts."""
        for _ in range(count):
            self._offer(shard, partner, f"{job}-{priority}", f"@{priority}")

    def _is_ready(self) -> bool:
        return any(self.lanes._rank(lane, self.time.seconds) is not None for lane in self.lanes._rotation)

    @precondition(lambda self: not self.closed and self._is_ready())
    @rule()
    def take(self) -> None:
        """A worker thread takes one of the most urgent items that may start."""
        best = min((piece.priority for piece in self._startable()), default=None)
        taken = take(self.lanes)
        shard = taken.lane.shard
        same = [one for one in self.waiting[shard] if _line_of(one) == _line_of(taken.item)]
        self.waiting[shard].remove(taken.item)
        self.running.append(taken)
        assert same[0] == taken.item
        if not self.some_missed:  # else the breakers decide too
            assert taken.item.priority == best

    def _note_reply(self, taken: Taken[Piece], reply: Reply, before: set[str]) -> None:
        super()._note_reply(taken, reply, before)
        self.some_missed = self.some_missed or reply is Reply.UNANSWERED

    def _startable(self) -> list[Piece]:
        """What may start while every shard answers."""
        return [
            piece
            for shard in SHARDS
            for piece in self.waiting[shard]
            if len(self._running_on(shard)) < self.limit
            and len(self._running_on(shard[:4])) < self.server_limit
            and self._is_let_in(piece, shard)
        ]

    def _is_let_in(self, piece: Piece, shard: str) -> bool:
        """Whether threads, shard and server keep a place for each more urgent queue, half at most."""
        places = ((self.running, self.threads), (self._running_on(shard), self.limit))
        return all(
            _keeps(running, limit, piece.priority)
            for running, limit in (*places, (self._running_on(shard[:4]), self.server_limit))
        )

    @invariant()
    def places_are_kept_for_the_urgent(self) -> None:
        """Threads, and places of each shard and server."""
        assert _are_kept(self.running, self.threads)
        for shard in SHARDS:
            assert _are_kept(self._running_on(shard), self.limit)
        for server in SERVERS:
            assert _are_kept(self._running_on(server), self.server_limit)


def _line_of(piece: Piece) -> tuple[int, str]:
    return piece.priority, piece.partner_id


def _keeps(running: Iterable[Taken[Piece]], places: int, priority: int) -> bool:
    priorities = [taken.item.priority for taken in running]
    levels = range(1, priority + 1)
    return all(sum(one >= level for one in priorities) < places - min(level, places // 2) for level in levels)


def _are_kept(running: Iterable[Taken[Piece]], places: int) -> bool:
    priorities = [taken.item.priority for taken in running]
    return all(
        sum(one >= level for one in priorities) <= places - min(level, places // 2) for level in (1, 2)
    )


TestUrgentLanesMachine: Any = UrgentLanesMachine.TestCase
TestUrgentLanesMachine.settings = settings(max_examples=100, stateful_step_count=40)
