"""Making things ready in other threads, while those before them are used."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def made_ahead(
    items: Iterator[Item], make: Callable[[Item], Made], count: int
) -> Generator[Made, None, None]:
    """What `make` makes of the items, in their order; so many are made while the one before them is used.

    One thread takes the items, none of which is None, and `count` others make something of them. When the
    generator is closed, none of these threads uses them any more.

    Raises:
        Exception: whatever an item, or what is made of it, raises, in its place.
    """
    with (
        ThreadPoolExecutor(1, "shardworker-blocks") as taking,
        ThreadPoolExecutor(count, "shardworker-ready") as making,
    ):

        def begin() -> Future[Made | None]:
            taken = taking.submit(next, items, None)
            return making.submit(lambda: None if (item := taken.result()) is None else make(item))

        coming = deque(begin() for _ in range(count))
        while (made := coming.popleft().result()) is not None:
            coming.append(begin())
            yield made
