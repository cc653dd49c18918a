"""What waits behind a job that takes long makes room, so that one shard's groups do not take all of it."""

from dataclasses import replace
from threading import Thread

from tests.support.jobs import held_of
from tests.support.memory_queue import MemoryPlace
from tests.support.world import wait_until
from tests.unit.test_long_held import Waiting
from worker.groups import Groups
from worker.held import Held, Room
from worker.long_groups import LONG_SECONDS, LongGroups


class Chain(Waiting):
    """A job whose part waits in its lane, and one behind it in its group; `returned` went back."""

    def __init__(self) -> None:
        super().__init__(customers=3)
        source = MemoryPlace().transport("orders.fifo")
        source.is_ordered = True
        self.head, self.follower = self.stage.held, held_of("{}", source=source)
        self.head.source = source
        for held in (self.head, self.follower):
            held.delivery = replace(held.delivery, group="chain")
        self.returned: list[Held] = []
        groups = Groups()
        groups.connect(lambda _: None, lambda held, _code: self.returned.append(held))
        groups.put([self.head, self.follower])
        self.head.prepared_at = self.time.clock.monotonic()
        self.room = Room(2, None, lambda: None, lambda: None)
        self.room.fill(self.room.reserve(2, 0), 2)
        self.long_groups = LongGroups(groups, self.lanes, lambda: [self.job], self.room, self.time.clock)

    def returned_after(self, seconds: float) -> list[Held]:
        """What has gone back after this time."""
        self.time.pass_time(seconds)
        self.long_groups.give_back()
        return self.returned


def test_what_waits_behind_a_long_job_goes_back_while_places_are_wanted() -> None:
    """Not before five seconds, for most jobs are done by then."""
    chain = Chain()
    poll = Thread(target=chain.room.reserve, args=(1, 0))
    poll.start()
    wait_until(lambda: chain.room.is_awaited, "a poll that waits for a place")
    assert chain.returned_after(LONG_SECONDS - 1) == []
    assert chain.returned_after(1) == [chain.follower]
    chain.room.close()
    poll.join()


def test_while_nobody_wants_its_place_it_stays() -> None:
    """It would have to be received once more."""
    assert Chain().returned_after(LONG_SECONDS) == []


def test_what_waits_behind_a_shard_that_is_away_goes_back_at_once() -> None:
    """That can last, and what is held so is to leave room for the others before they lack it."""
    chain = Chain()
    chain.lose_shard()
    assert chain.returned_after(0) == [chain.follower]
