"""The prepare threads: the urgent first, and one of them kept from what others fetch for long."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tests.support.jobs import held_of
from worker.conclusion import Conclusion, Return
from worker.facts import Facts
from worker.held import Held
from worker.preparer import Preparer

PATIENCE_SECONDS = 60.0


def delivery(name: str, priority: int) -> Held:
    return replace(held_of("{}", message_id=name), priority=priority)


class Desk:
    """A preparer whose deliveries are in preparation until they are let go."""

    def __init__(self, threads: int) -> None:
        self.stop = threading.Event()
        self.condition = threading.Condition()
        self.taken: list[str] = []
        self.settled: list[str] = []
        self.let_go: set[str] = set()
        self.preparer = Preparer(self.take, self.settle, self.stop, threads)
        self.threads = [threading.Thread(target=self.preparer.run, daemon=True) for _ in range(threads)]

    def take(self, held: Held) -> None:
        """Stay until let go."""
        name = held.delivery.message_id
        with self.condition:
            self.taken.append(name)
            self.condition.notify_all()
            assert self.condition.wait_for(lambda: name in self.let_go, PATIENCE_SECONDS)

    def settle(self, held: list[Held], conclusion: Conclusion, _facts: Facts) -> None:
        """Note what goes back."""
        assert isinstance(conclusion, Return)
        with self.condition:
            self.settled += [one.delivery.message_id for one in held]
            self.condition.notify_all()

    def wait_for(self, names: list[str], count: int) -> None:
        """Until so many are in this list."""
        with self.condition:
            assert self.condition.wait_for(lambda: len(names) >= count, PATIENCE_SECONDS)

    def end(self, *names: str) -> None:
        """Let these go."""
        with self.condition:
            self.let_go.update(names)
            self.condition.notify_all()


@contextmanager
def desk_of(threads: int, *deliveries: tuple[str, int]) -> Iterator[Desk]:
    """A preparer at work, with these deliveries waiting from its start on; closed and ended afterwards."""
    desk = Desk(threads)
    for name, priority in deliveries:
        desk.preparer.put([delivery(name, priority)])
    for thread in desk.threads:
        thread.start()
    yield desk
    desk.preparer.close()
    for thread in desk.threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


def test_the_urgent_are_prepared_first_and_each_queue_s_in_order() -> None:
    """On one thread, which all share."""
    with desk_of(1, ("bulk 1", 1), ("bulk 2", 1), ("urgent 1", 0), ("urgent 2", 0)) as desk:
        desk.end("bulk 1", "bulk 2", "urgent 1", "urgent 2")
        desk.wait_for(desk.taken, 4)

    assert desk.taken == ["urgent 1", "urgent 2", "bulk 1", "bulk 2"]


def test_large_attachments_of_bulk_leave_a_thread_to_the_urgent() -> None:
    """Three threads: two fetch for bulk, the third waits for what is urgent."""
    with desk_of(3, ("bulk 1", 1), ("bulk 2", 1), ("bulk 3", 1)) as desk:
        desk.wait_for(desk.taken, 2)
        desk.preparer.put([delivery("urgent", 0)])
        desk.wait_for(desk.taken, 3)
        assert desk.taken[2] == "urgent"
        desk.end("bulk 1", "bulk 2", "bulk 3", "urgent")
        desk.wait_for(desk.taken, 4)


def test_what_one_receive_brought_goes_to_all_threads_at_once() -> None:
    """None of them waits until another has fetched its attachments."""
    with desk_of(3) as desk:
        desk.preparer.put([delivery(name, 0) for name in ("one", "two", "three")])
        desk.wait_for(desk.taken, 3)
        assert sorted(desk.taken) == ["one", "three", "two"]
        desk.end("one", "two", "three")


def test_one_queue_has_all_threads() -> None:
    """Nothing is kept for others that are not there."""
    with desk_of(2, ("first", 0), ("second", 0)) as desk:
        desk.wait_for(desk.taken, 2)
        assert sorted(desk.taken) == ["first", "second"]
        desk.end("first", "second")


def test_at_a_stop_a_kept_thread_gives_back_what_waits() -> None:
    """At once, and not when the others have fetched what they fetch."""
    with desk_of(2, ("bulk 1", 1), ("bulk 2", 1), ("bulk 3", 1)) as desk:
        desk.wait_for(desk.taken, 1)
        desk.stop.set()
        desk.preparer.hurry()
        desk.wait_for(desk.settled, 2)
        assert desk.settled == ["bulk 2", "bulk 3"]
        desk.end("bulk 1")
