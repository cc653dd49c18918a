"""What of a job is not in its lanes yet: its shards take turns, so that none fills the others' places."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Hashable, Iterable
from typing import Final, Generic, TypeVar

PARTS_IN_LANES_MAXIMUM: Final = 64
LANE_SHARE: Final = 3  # a third of the places that are free: 16 of 64 for a shard that hangs alone

Item = TypeVar("Item", bound=Hashable)


class PartFeed(Generic[Item]):
    """Hands out a job's items, shard after shard in turn, at most 64 until some of them have ended.

    While other shards' items wait for their turn, a shard gets no more than a third of the places that are
    free: one that hangs holds 16 in the end, ten that hang 5 each, and the others go on in the rest.
    Items that are held back have no turn yet. Not thread-safe.
    """

    def __init__(self, shard_of: Callable[[Item], str]) -> None:
        self._shard_of = shard_of
        self._waiting: OrderedDict[str, deque[Item]] = OrderedDict()
        self._held_back: set[Item] = set()
        self._out: set[Item] = set()
        self._out_by_shard: Counter[str] = Counter()

    @property
    def is_done(self) -> bool:
        """Whether nothing waits, is held back or is out."""
        return not (self._waiting or self._held_back or self._out)

    def hold_back(self, items: Iterable[Item]) -> None:
        """Keep these, until they are added or end."""
        self._held_back.update(items)

    def add(self, items: Iterable[Item]) -> None:
        """Let these wait for their turn."""
        for item in items:
            self._held_back.discard(item)
            self._waiting.setdefault(self._shard_of(item), deque()).append(item)

    def release(self, items: Collection[Item]) -> None:
        """Let those of these that are still held back wait for their turn."""
        self.add([item for item in items if item in self._held_back])

    def next(self) -> Item | None:
        """The next item, which is out from now on; None while none may go."""
        if len(self._out) >= PARTS_IN_LANES_MAXIMUM:
            return None
        shard = next((shard for shard in self._waiting if self._may_go(shard)), None)
        return None if shard is None else self._take(shard)

    def end(self, item: Item) -> bool:
        """The item is done with, out or held back; False when nothing is known of it any more."""
        if item in self._held_back:
            self._held_back.remove(item)
            return True
        if item not in self._out:
            return False
        self._out.remove(item)
        self._out_by_shard[self._shard_of(item)] -= 1
        return True

    def clear(self) -> list[Item]:
        """Forget what waits or is held back: what that was."""
        left = [item for items in self._waiting.values() for item in items]
        left += self._held_back
        self._waiting.clear()
        self._held_back.clear()
        return left

    def _may_go(self, shard: str) -> bool:
        out = self._out_by_shard[shard]
        others_wait = len(self._waiting) > 1 or bool(self._held_back)
        return not others_wait or out == 0 or out * LANE_SHARE < PARTS_IN_LANES_MAXIMUM - len(self._out)

    def _take(self, shard: str) -> Item:
        item = self._waiting[shard].popleft()
        self._waiting.move_to_end(shard)
        if not self._waiting[shard]:
            del self._waiting[shard]
        self._out.add(item)
        self._out_by_shard[shard] += 1
        return item
