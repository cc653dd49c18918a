"""Lanes with the settings that most tests of them want, and pieces to put into them."""

from collections.abc import Hashable
from datetime import timedelta

from tests.support.fakes import ManualTime
from worker.clock import Clock
from worker.lane import Reply, Taken
from worker.lane_rules import Berth, LaneRules
from worker.lanes import Lanes

SECOND = timedelta(seconds=1)
DELAYS = (SECOND, timedelta(minutes=1))
PATIENCE_SECONDS = 60.0


class Piece(str):
    """What waits in a lane: a name that may say whose it is and of which job, as `acme/job/name@1`."""

    __slots__ = ()

    @property
    def priority(self) -> int:
        """What stands behind the `@`; 0, the most urgent, without one."""
        return int(self.partition("@")[2] or 0)

    @property
    def partner_id(self) -> str:
        """The first of three names; `acme` where there is one."""
        return self.split("/")[0] if "/" in self else "acme"

    @property
    def job_key(self) -> Hashable:
        """The first two of three names; a single name is a job of its own."""
        return self.rpartition("/")[0] or str(self)


def lanes_of(
    time: ManualTime | None = None,
    limit: int = 1,
    held: int = 100,
    delays: tuple[timedelta, timedelta] = DELAYS,
    *,
    server_limit: int = 64,
    slow_after: timedelta | None = None,
    threads: int = 64,
) -> Lanes[Piece]:
    """Lanes by the rules that `rules_of` makes."""
    rules = rules_of(limit, held, delays, server_limit=server_limit, slow_after=slow_after, threads=threads)
    return Lanes(rules, time.clock if time is not None else Clock())


def rules_of(
    limit: int = 1,
    held: int = 100,
    delays: tuple[timedelta, timedelta] = DELAYS,
    *,
    server_limit: int = 64,
    slow_after: timedelta | None = None,
    threads: int = 64,
) -> LaneRules:
    """Rules with one limit for all; `db1.a` lies on the server `db1`, a shard without a dot on its own."""
    return LaneRules(
        berth_of=lambda shard: Berth(shard.partition(".")[0], limit),
        server_limit=lambda _: server_limit,
        held_maximum=held,
        base_delay=delays[0],
        return_minimum=delays[0],
        return_maximum=delays[1],
        probe_maximum=delays[1],
        slow_after=slow_after,
        threads=threads,
    )


def fill(lanes: Lanes[Piece], shard: str, *names: str) -> None:
    """Put pieces into a lane, which takes them all."""
    assert [lanes.offer(shard, Piece(name)) for name in names] == [None] * len(names)


def take(lanes: Lanes[Piece]) -> Taken[Piece]:
    """The next piece; there must be one, or the test hangs."""
    taken = lanes.take()
    assert taken is not None
    return taken


def end(lanes: Lanes[Piece], taken: Taken[Piece], reply: Reply = Reply.ANSWERED) -> list[str]:
    """End a turn; what is given back."""
    return [piece for piece, _ in lanes.finished(taken, reply)]


def miss(lanes: Lanes[Piece]) -> list[str]:
    """Let the next piece find its shard away; what is given back."""
    return end(lanes, take(lanes), Reply.UNANSWERED)


def put_away(lanes: Lanes[Piece], shard: str, name: str = "probe") -> list[str]:
    """Let a piece find its shard away twice in a row, which waits there then; what is given back."""
    fill(lanes, shard, name)
    return [*miss(lanes), *miss(lanes)]


def code_of(lanes: Lanes[Piece], shard: str, name: str) -> str | None:
    """Offer a piece: the code of the refusal, if it is refused."""
    refused = lanes.offer(shard, Piece(name))
    return refused.code if refused is not None else None
