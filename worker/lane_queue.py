"""What waits in one line: partner after partner in turn, so that a flood of one delays no other."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class LaneItem(Protocol):
    """What can wait in a lane: it belongs to a partner's job."""

    @property
    def priority(self) -> int:
        """How urgent it is: the place of its queue among the request queues, 0 is the most urgent."""
        ...

    @property
    def partner_id(self) -> str:
        """Whose turn it takes."""
        ...

    @property
    def job_key(self) -> Hashable:
        """The job in hand that it is of: all items of one job together fill one place in the room."""
        ...


Item = TypeVar("Item", bound=LaneItem)


@dataclass(eq=False, slots=True)
class Entry(Generic[Item]):
    """An item that waits since `since` (monotonic seconds), after it found its shard away `misses` times."""

    item: Item
    since: float
    misses: int = 0


class LaneQueue(Generic[Item]):
    """Entries by partner; the partners take turns, each one's own entries go first in, first out."""

    def __init__(self) -> None:
        self._by_partner: OrderedDict[str, deque[Entry[Item]]] = OrderedDict()
        self._jobs: Counter[Hashable] = Counter()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Entry[Item]]:
        return (entry for entries in self._by_partner.values() for entry in entries)

    @property
    def job_count(self) -> int:
        """How many jobs have an item here."""
        return len(self._jobs)

    def has_job(self, job_key: Hashable) -> bool:
        """Whether this job has an item here."""
        return job_key in self._jobs

    def waiting_since(self) -> float | None:
        """When the entry that has waited longest came; None when nothing waits."""
        return min((entries[0].since for entries in self._by_partner.values()), default=None)

    def peek(self) -> Entry[Item]:
        """The entry that `pop` would take."""
        return next(iter(self._by_partner.values()))[0]

    def append(self, entry: Entry[Item]) -> None:
        """Put an entry behind the others of its partner."""
        self._by_partner.setdefault(entry.item.partner_id, deque()).append(entry)
        self._note(entry, 1)

    def pop(self) -> Entry[Item]:
        """Take the first entry of the partner whose turn it is, which goes behind the other partners."""
        return self._pop_of(next(iter(self._by_partner)))

    def take_along(self, takes: Callable[[Item], bool], maximum: int) -> list[Entry[Item]]:
        """Take first entries, partner after partner, at most so many of those that `takes` says may go along.

        A partner whose first one may not keeps its others too: they go first in, first out.
        """
        along: list[Entry[Item]] = []
        staying: set[str] = set()
        while len(along) < maximum:
            partner = next((name for name in self._by_partner if name not in staying), None)
            if partner is None:
                break
            if takes(self._by_partner[partner][0].item):
                along.append(self._pop_of(partner))
            else:
                staying.add(partner)
        return along

    def pop_newest(self) -> Entry[Item]:
        """Take the last entry of the partner that has most of them."""
        partner = max(self._by_partner, key=lambda name: len(self._by_partner[name]))
        entry = self._by_partner[partner].pop()
        self._forget(partner, entry)
        return entry

    def remove(self, is_unwanted: Callable[[Item], bool]) -> list[Entry[Item]]:
        """Take out what is not wanted any more."""
        removed = [entry for entry in self if is_unwanted(entry.item)]
        for entry in removed:
            partner = entry.item.partner_id
            self._by_partner[partner].remove(entry)
            self._forget(partner, entry)
        return removed

    def _pop_of(self, partner: str) -> Entry[Item]:
        entry = self._by_partner[partner].popleft()
        self._by_partner.move_to_end(partner)
        self._forget(partner, entry)
        return entry

    def _forget(self, partner: str, entry: Entry[Item]) -> None:
        if not self._by_partner[partner]:
            del self._by_partner[partner]
        self._note(entry, -1)

    def _note(self, entry: Entry[Item], change: int) -> None:
        key = entry.item.job_key
        self._length += change
        self._jobs[key] += change
        if not self._jobs[key]:
            del self._jobs[key]
