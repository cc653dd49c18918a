"""The splitting of a batch into requests, by count and by bytes."""

from collections.abc import Sequence


def split(sizes: Sequence[int], count_maximum: int, bytes_maximum: int) -> list[range]:
    """Consecutive ranges of positions that together cover `sizes`, as few as their order allows.

    Each range has at most `count_maximum` entries of at most `bytes_maximum` bytes in all. An entry that is
    larger by itself stands alone.
    """
    ranges: list[range] = []
    start = total = 0
    for position, size in enumerate(sizes):
        if position > start and (position - start == count_maximum or total + size > bytes_maximum):
            ranges.append(range(start, position))
            start, total = position, 0
        total += size
    if sizes:
        ranges.append(range(start, len(sizes)))
    return ranges
