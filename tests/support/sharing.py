"""A site whose parts wait in a lane and share transactions there, turn after turn on one thread."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import event

from handlers.contract import PartContext
from handlers.middleware import Middleware
from tests.support.core import Handler, Site, insert_order
from tests.support.jobs import job_fields
from tests.support.lanes import rules_of
from worker.conclusion import Answer, Deferral, Return
from worker.job_in_hand import Part
from worker.lane_work import LaneWork
from worker.lanes import Lanes
from worker.tasks import PartTask, Task

LIMIT_SECONDS = 10


class SharingSite(Site):
    """`calls` counts the calls of the handler by order, `instead` are orders that another handler gets.

    `commits` counts the transactions that were committed on the shard `eu1`, `given_up` the threads that were
    given up; what has to be done in their place is done after their turn.
    """

    def __init__(
        self, directory: Path, group: int = 20, middleware: Sequence[Middleware] = (), **sections: Any
    ) -> None:
        types = {"orders.insert": {"group": group, "timeout": f"{LIMIT_SECONDS}s"}}
        super().__init__(directory, middleware, **{"types": types, **sections})
        self.calls: Counter[int] = Counter()
        self.instead: dict[int, Handler] = {}
        self.given_up = 0
        self._in_their_place: list[Callable[[], None]] = []
        self.handler = self._handle
        self.lanes: Lanes[Task] = Lanes(rules_of(), self.time.clock)
        self.work = LaneWork(self.lanes, self.executor, self.directory, self.time.clock, self.stop)
        self.commits = 0
        event.listen(self.shards.get("eu1").engine, "commit", self._note_commit)

    def send(self, *numbers: int, **held: Any) -> None:
        """Take in a job for each of the numbers, with an order of that number; nothing of them runs yet."""
        for number in numbers:
            fields = job_fields(job_id=f"job-{number}", payload={"order_no": number})
            self.take(fields, message_id=f"message-{number}", **held)

    def run_turns(self) -> int:
        """Run what waits in the lanes, turn after turn; how many turns that took."""
        turns = 0
        while self.lanes.waiting():
            self.run_turn()
            turns += 1
        return turns

    def run_turn(self) -> None:
        """Run what is next in its lane, and what shares its turn."""
        taken = self.lanes.take()
        assert taken is not None
        self.work.run_turn(taken)
        while self._in_their_place:
            self._in_their_place.pop()()

    def hang(self, payload: Any, context: PartContext) -> Any:
        """A handler that does not come back until its thread was given up."""
        insert_order(payload, context)
        self.pass_time(seconds=LIMIT_SECONDS * 10)
        looking = threading.Thread(target=lambda: self.time_limits.look(self._give_up))
        looking.start()
        looking.join()

    def _give_up(self, thread: int) -> None:
        end = self.work.give_up(thread)
        assert end is not None
        self.given_up += 1
        self._in_their_place.append(end)

    def waiting(self) -> list[PartTask]:
        """The parts that wait in their lanes."""
        items = [entry.item for lane in self.lanes._lanes.values() for entry in lane.queue]
        return [item for item in items if isinstance(item, PartTask)]

    def ends(self) -> dict[int, str]:
        """By number, the status of each job that was answered, the code of each that comes again."""
        ends = {}
        for _, end, facts in self.settled:
            assert facts.identity is not None
            assert isinstance(end, Answer | Return)
            number = int(facts.identity.job_id.partition("-")[2])
            ends[number] = end.status if isinstance(end, Answer) else end.code
        return ends

    def _handle(self, payload: Any, context: PartContext) -> Any:
        number = payload["order_no"]
        self.calls[number] += 1
        return self.instead.get(number, insert_order)(payload, context)

    def _note_commit(self, _connection: Any) -> None:
        self.commits += 1

    def _offer_part(self, part: Part) -> Deferral | None:
        return self.work.offer(part)

    def _offer_task(self, shard: str, task: Task) -> Deferral | None:
        return self.lanes.offer(shard, task)
