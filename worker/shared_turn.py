"""A turn that several parts share: in one transaction if they go together, else one after the other."""

from collections.abc import Callable, Collection, Sequence
from functools import partial

from shards.directory import Placement
from worker.conclusion import Deferral
from worker.executor import Executor
from worker.lane import Reply
from worker.lanes import SHUTDOWN
from worker.reports import Ended
from worker.shared_run import PARTS_MINIMUM
from worker.tasks import PartTask, Task
from worker.turn_end import TurnEnd

PutBack = Callable[[Collection[PartTask], PartTask | None], None]
"""Lets tasks wait in their lane again, one of which may have found that its shard does not answer."""


class Company:
    """Gathers the parts that share a turn, as they are offered."""

    def __init__(self, first: PartTask) -> None:
        self.tasks = [first]
        self._maximum = first.share_limit
        self._schema = _schema_of(first)
        self._keys = {first.key}

    @property
    def room(self) -> int:
        """How many more there may be."""
        return self._maximum - len(self.tasks)

    def takes(self, task: Task) -> bool:
        """Whether this one goes along; it is one of them then."""
        if not isinstance(task, PartTask) or task.key in self._keys:
            return False
        maximum = min(self._maximum, task.share_limit)
        if len(self.tasks) >= maximum or _schema_of(task) != self._schema:
            return False
        self._maximum = maximum
        self._keys.add(task.key)
        self.tasks.append(task)
        return True


class SharedTask:
    """Runs several parts in one turn, each of which is reported to its own job.

    `put_back` takes those that could not be asked for, or that a thread left behind which does not come back.
    """

    def __init__(
        self,
        tasks: Sequence[PartTask],
        executor: Executor,
        put_back: PutBack,
        is_stopping: Callable[[], bool],
    ) -> None:
        self.tasks = list(tasks)
        self._first = tasks[0]
        self._executor = executor
        self._put_back = put_back
        self._is_stopping = is_stopping
        self._end = TurnEnd()
        self._current: PartTask | None = None
        self._left: list[PartTask] = []
        self._are_together = True
        self._seeks_culprit = False

    @property
    def placements(self) -> Sequence[Placement]:
        """Where the directory had the customers when the tasks were made."""
        return [placement for task in self.tasks for placement in task.placements]

    def give_back(self, deferral: Deferral, is_unwanted: Callable[[Task], bool] = lambda _: True) -> None:
        """They will not run here now, or those of them that are not wanted: tell their jobs."""
        for task in [task for task in self.tasks if is_unwanted(task)]:
            self.tasks.remove(task)
            task.give_back(deferral)

    def run(self) -> Reply:
        """Run the parts; see `Task`. The reply is for the first of them, which is the one its lane knows."""
        self._left = [task for task in self.tasks if not task.drop()]
        replies = self._run_together()
        replies += [] if Reply.GIVEN_UP in replies else self._run_alone()
        if Reply.GIVEN_UP in replies:
            return Reply.GIVEN_UP
        asked = self._left[0] if self._left else None
        self._put_back([task for task in self._left if task is not self._first], asked)
        if self._first in self._left:
            return Reply.UNANSWERED
        return Reply.ANSWERED if Reply.ANSWERED in replies else Reply.NOT_ASKED

    def give_up(self) -> Callable[[], None] | None:
        """Have it recorded that the part that runs took too long; see `Task`. The others wait again."""
        current = self._current
        if current is None:
            return None
        if self._are_together:
            instead = current.end_instead if self._end.is_mine() else None
        else:
            instead = current.give_up()
        return None if instead is None else partial(self._end_instead, current, instead)

    def _end_instead(self, current: PartTask, end: Callable[[], None]) -> None:
        self._put_back([task for task in self._left if task is not current], None)
        end()

    def _run_together(self) -> list[Reply]:
        if len(self._left) < PARTS_MINIMUM:
            self._are_together = False
            return []
        task_of = {task.part: task for task in self._left}
        together = self._executor.run_together(list(task_of), lambda part: self._note_current(task_of[part]))
        if not self._end.is_mine():
            return [Reply.GIVEN_UP]
        self._are_together = False
        self._left = [task for task in self._left if task.part not in together.outcomes]
        self._seeks_culprit = together.culprit is None and not together.outcomes
        # the one that the others failed with goes last: it may take all its time again
        self._left.sort(key=lambda task: task.part is together.culprit)
        return [task_of[part].tell(Ended(outcome)) for part, outcome in together.outcomes.items()]

    def _run_alone(self) -> list[Reply]:
        """Run those that are left one by one, as long as their shard answers."""
        replies: list[Reply] = []
        while self._left:
            task = self._left[0]
            self._note_current(task)
            replies.append(self._shut_down(task) if self._is_stopping() else self._run_one(task))
            if replies[-1] in {Reply.UNANSWERED, Reply.GIVEN_UP}:
                break
            self._left.remove(task)
        return replies

    def _run_one(self, task: PartTask) -> Reply:
        reply = task.run()
        if self._seeks_culprit and task.has_failed:
            self._executor.sharing.note_failed(task.part)
        return reply

    def _note_current(self, task: PartTask) -> None:
        self._current = task

    def _shut_down(self, task: PartTask) -> Reply:
        task.give_back(SHUTDOWN)
        return Reply.NOT_ASKED


def _schema_of(task: PartTask) -> str | None:
    return task.part.placement.schema if task.part.placement is not None else None
