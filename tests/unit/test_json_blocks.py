"""JSON Lines in blocks: the same lines and the same faults, however long a block may be."""

import io

from hypothesis import given
from hypothesis import strategies as st

from handlers.json_blocks import JsonBlocks
from handlers.row_bytes import Unreadable

LINE_BYTES_MAXIMUM = 12

Line = tuple[int, bytes]
Fault = tuple[str, int | None]


def told(data: bytes, line_lengths: int) -> tuple[list[Line], Fault | None]:
    """The lines of a file with their numbers, and what ended it."""
    blocks = JsonBlocks(io.BytesIO(data), LINE_BYTES_MAXIMUM)
    blocks.line_lengths = line_lengths
    lines: list[Line] = []
    try:
        for block in blocks:
            assert len(block.data) <= LINE_BYTES_MAXIMUM * line_lengths
            lines.extend(block.lines())
    except Unreadable as error:
        return lines, (error.code, error.row)
    return lines, None


LINES = st.binary(max_size=LINE_BYTES_MAXIMUM + 2).map(lambda line: line.replace(b"\n", b""))


@given(st.lists(LINES, max_size=30), st.sampled_from([b"", b"\n"]), st.integers(2, 5))
def test_longer_blocks_have_the_same_lines_and_end_at_the_same_one(
    lines: list[bytes], end: bytes, line_lengths: int
) -> None:
    """A line that is too long is told by its number, and all before it were given."""
    data = b"\n".join(lines) + end

    assert told(data, line_lengths) == told(data, 1)


def test_a_long_block_is_of_several_lengths() -> None:
    """It is what makes fewer of them."""
    blocks = JsonBlocks(io.BytesIO(b"[1]\n" * 6), LINE_BYTES_MAXIMUM)
    blocks.line_lengths = 2

    assert [block.data for block in blocks] == [b"[1]\n" * 6]
