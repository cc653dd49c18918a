"""How much memory the process takes: what the kernel says, and nothing where it says nothing."""

import resource
from pathlib import Path

import pytest

from worker.memory import resident_bytes


def test_what_the_process_takes_grows_with_what_it_holds() -> None:
    """In bytes: a block of 64 MiB, written to, is there."""
    before = resident_bytes()
    block = bytearray(b"x") * (64 * 2**20)
    after = resident_bytes()

    assert before is not None
    assert after is not None
    assert after - before > len(block) * 0.9


@pytest.mark.parametrize("text", ["", "12", "a b c"])
def test_where_the_system_does_not_tell_nothing_is_known(tmp_path: Path, text: str) -> None:
    """No limit ends a process then, and none fails."""
    (tmp_path / "statm").write_text(text)

    assert resident_bytes(tmp_path / "statm") is None
    assert resident_bytes(tmp_path / "missing") is None


def test_pages_are_counted_in_bytes(tmp_path: Path) -> None:
    """The second number is what is resident."""
    (tmp_path / "statm").write_text("100 7 5 1 0 9 0")

    assert resident_bytes(tmp_path / "statm") == 7 * resource.getpagesize()
