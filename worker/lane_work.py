"""The work in the lanes: parts are put into them, worker threads take them out and run them."""

import threading
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Final, NamedTuple

from shards.directory import Directory, DirectoryUnavailable, Placement
from worker.clock import Clock
from worker.conclusion import Deferral
from worker.executor import Executor
from worker.job_in_hand import Part
from worker.lane import Reply, Taken
from worker.lane_keeper import ELSEWHERE, find_usable, is_misplaced
from worker.lanes import SHUTDOWN, Lanes
from worker.pulse import doing
from worker.shared_turn import Company, SharedTask
from worker.sharing import ALONE
from worker.tasks import NotePart, PartTask, Task

TURN_SECONDS_MAXIMUM: Final = 300.0
NOWHERE_KNOWN: Final = Deferral(timedelta(seconds=5), "directory_away")


class Turn(NamedTuple):
    """What a worker thread took from a lane, what it runs for that, and since when, in monotonic seconds."""

    taken: Taken[Task]
    task: Task | SharedTask
    since: float


class LaneWork:
    """Puts parts into their lanes and runs what is taken from there; thread-safe.

    A part can wait long for its turn, and its customer be paused or moved meanwhile: so the directory, which
    remembers, is asked again before each one starts.
    """

    def __init__(
        self,
        lanes: Lanes[Task],
        executor: Executor,
        directory: Directory,
        clock: Clock,
        stop: threading.Event,
        note_part: NotePart = lambda _type, _outcome: None,
    ) -> None:
        self._lanes = lanes
        self._executor = executor
        self._directory = directory
        self._clock = clock
        self._stop = stop
        self._note_part = note_part
        self._turns: dict[int, Turn] = {}
        self._given_up: set[int] = set()

    @property
    def given_up(self) -> frozenset[int]:
        """The numbers of the threads that were given up and have not come back."""
        return frozenset(self._given_up)

    def running_since(self) -> float | None:
        """When the task was started that runs longest, in monotonic seconds; None while none runs."""
        return min((turn.since for turn in tuple(self._turns.values())), default=None)

    def offer(self, part: Part) -> Deferral | None:
        """Put a part into its shard's lane; None when it was taken, else why not and when to come again."""
        assert part.placement is not None  # noqa: S101 - a job offers only parts that have a shard
        part.queued_at = self._clock.monotonic()
        return self._lanes.offer(part.placement.shard, PartTask(part, self._executor, self._note_part))

    def run(self) -> None:
        """A worker thread: take one task after the other, and run it."""
        while (taken := self._lanes.take()) is not None:
            self.run_turn(taken)

    def run_turn(self, taken: Taken[Task]) -> None:
        """Run what was taken, and what shares its turn; give back what its lane cannot hold."""
        thread = threading.get_ident()
        task = self._with_company(taken)
        self._turns[thread] = Turn(taken, task, self._clock.monotonic())
        with doing("takes a turn", TURN_SECONDS_MAXIMUM):
            reply = self._run(task)
            self._turns.pop(thread, None)
            if reply is Reply.GIVEN_UP:
                self._given_up.discard(thread)
                self._lanes.came_back()
            else:
                self._finish(taken, reply)

    def give_up(self, thread: int) -> Callable[[], None] | None:
        """A thread does not come back from its handler: its place in the lane is free from now on.

        What another thread has to do in its place; None: it came back just now. A thread that comes back
        later goes on with another task.
        """
        turn = self._turns.get(thread)
        if turn is None:
            return None
        self._given_up.add(thread)  # before the thread can come back and find out
        instead = turn.task.give_up()
        if instead is None:
            self._given_up.discard(thread)
            return None
        self._turns.pop(thread, None)
        self._executor.do_without(thread)
        self._finish(turn.taken, Reply.NOT_ASKED, thread_is_back=False)
        return instead

    def _finish(self, taken: Taken[Task], reply: Reply, *, thread_is_back: bool = True) -> None:
        self._give_back(self._lanes.finished(taken, reply, thread_is_back=thread_is_back))

    def _give_back(self, unwanted: list[tuple[Task, Deferral]]) -> None:
        for task, deferral in unwanted:
            task.give_back(SHUTDOWN if self._stop.is_set() else deferral)

    def _with_company(self, taken: Taken[Task]) -> Task | SharedTask:
        """What was taken, or a turn that it shares with others of its lane that wait now."""
        first = taken.item
        if not isinstance(first, PartTask) or first.share_limit == ALONE:
            return first
        company = Company(first)
        along = self._lanes.take_along(taken, company.takes, company.room)
        if not along:
            return first

        def put_back(tasks: Collection[PartTask], asked: PartTask | None) -> None:
            entries = [entry for entry in (taken.entry, *along) if entry.item in tasks]
            self._give_back(self._lanes.put_back(taken.lane, entries, asked))

        return SharedTask(company.tasks, self._executor, put_back, self._stop.is_set)

    def _run(self, task: Task | SharedTask) -> Reply:
        try:
            found = self._find(task)
        except DirectoryUnavailable:
            task.give_back(NOWHERE_KNOWN)
            return Reply.NOT_ASKED
        if isinstance(task, SharedTask):
            task.give_back(ELSEWHERE, lambda one: is_misplaced(one, found))
        elif is_misplaced(task, found):
            task.give_back(ELSEWHERE)
            return Reply.NOT_ASKED
        return task.run()

    def _find(self, task: Task | SharedTask) -> Mapping[str, Placement]:
        customer_ids = [placement.customer_id for placement in task.placements]
        if isinstance(task, SharedTask):
            return find_usable(self._directory, customer_ids)
        return self._directory.find(customer_ids)

    def stop(self) -> None:
        """Give back at once what has not started; what runs goes on to its end."""
        for task in self._lanes.close():
            task.give_back(SHUTDOWN)
