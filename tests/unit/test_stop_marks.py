"""Stop marks: a process leaves for those that were set after it began, and for no others."""

import os
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from structlog.testing import capture_logs

from shards.directory import DirectoryUnavailable
from tests.support.fakes import QuickStop
from worker.stop_marks import STOP_REASON, FileStopMarks, StopMarks, StopWatch, names_of

INTERVAL = timedelta(seconds=5)
INSTANCE = "host:7"
OTHERS = ("other", "other:7", "host:8", "ho")


class Marks:
    """Marks in memory; away while `error` is set."""

    def __init__(self) -> None:
        self.marks: dict[str, int] = {}
        self.error: Exception | None = None

    def find_stop_marks(self, names: Sequence[str]) -> dict[str, int]:
        """The marks of these names."""
        if self.error is not None:
            raise self.error
        return {name: mark for name, mark in self.marks.items() if name in names}

    def set_stop_mark(self, name: str) -> None:
        """Change a mark."""
        self.marks[name] = self.marks.get(name, 0) + 1


def watch_of(marks: StopMarks, stop: threading.Event, told: list[str] | None = None) -> StopWatch:
    said: list[str] = [] if told is None else told
    return StopWatch(marks, names_of(INSTANCE), INTERVAL, stop, said.append)


class AnyOrder(RuleBasedStateMachine):
    """Marks are set, read and out of reach in any order; the process has one look after another."""

    def __init__(self) -> None:
        super().__init__()
        self.marks = Marks()
        self.watch = watch_of(self.marks, threading.Event())
        self.has_looked = False
        self.is_meant = False
        self.is_told = False

    @rule(name=st.sampled_from(names_of(INSTANCE)))
    def mark_ours(self, name: str) -> None:
        """A mark that the process goes by; one of the time before its first look is none of its own."""
        self.marks.set_stop_mark(name)
        self.is_meant = self.is_meant or self.has_looked

    @rule(name=st.sampled_from(OTHERS))
    def mark_others(self, name: str) -> None:
        """A mark of somebody else."""
        self.marks.set_stop_mark(name)

    @rule(error=st.sampled_from([None, DirectoryUnavailable("away"), OSError("away")]))
    def go_away_or_come_back(self, error: Exception | None) -> None:
        """Where the marks are kept."""
        self.marks.error = error

    @rule()
    def look(self) -> None:
        """The process looks."""
        self.is_told = self.watch.look()
        self.has_looked = self.has_looked or self.marks.error is None

    @precondition(lambda self: self.marks.error is None)
    @rule()
    def look_and_compare(self) -> None:
        """A look at marks that can be read finds out what is so."""
        self.look()
        assert self.is_told == self.is_meant

    @invariant()
    def never_leaves_unasked(self) -> None:
        """Whatever happened."""
        assert self.is_meant or not self.is_told


TestAnyOrder = AnyOrder.TestCase


def test_the_reason_is_told_once_and_the_looking_ends() -> None:
    """Between two looks it waits for the interval, or for the end of the process."""
    marks, stop = Marks(), QuickStop()
    told: list[str] = []
    watch = watch_of(marks, stop, told)
    watch.look()
    marks.set_stop_mark("*")
    watch.run()

    assert told == [STOP_REASON]
    assert stop.waits == []


def test_a_process_that_leaves_looks_no_more() -> None:
    """It ends with the others' threads."""
    stop = QuickStop(after=3)
    told: list[str] = []
    watch_of(Marks(), stop, told).run()

    assert (told, stop.waits) == ([], [5.0, 5.0, 5.0])


def test_marks_that_cannot_be_read_are_told_once_for_each_time() -> None:
    """Not at each look."""
    marks = Marks()
    watch = watch_of(marks, threading.Event())
    with capture_logs() as lines:
        for error in (OSError("one"), OSError("two"), None, DirectoryUnavailable("three"), OSError("four")):
            marks.error = error
            assert not watch.look()

    assert [(line["event"], line.get("error")) for line in lines] == [
        ("worker.stop_unknown", "one"),
        ("worker.sees_stop", None),
        ("worker.stop_unknown", "three"),
    ]


class TestInTheStateDirectory:
    def test_a_mark_is_seen_by_those_who_looked_before(self, tmp_path: Path) -> None:
        """The next process takes it for one of the time before."""
        marks = FileStopMarks(tmp_path / "state")
        marks.set_stop_mark("host")
        watch = watch_of(marks, threading.Event())
        assert [watch.look(), watch.look()] == [False, False]
        os.utime(tmp_path / "state" / "stop-workers" / "host", ns=(0, 0))
        marks.set_stop_mark("host")

        assert watch.look()
        assert not watch_of(marks, threading.Event()).look()

    def test_a_mark_is_for_all_to_see_whatever_the_user_that_sets_it_hides(self, tmp_path: Path) -> None:
        """Root keeps what it makes to itself on many machines, and the workers run as another user."""
        before = os.umask(0o077)
        try:
            FileStopMarks(tmp_path).set_stop_mark("host")
        finally:
            os.umask(before)

        assert (tmp_path / "stop-workers").stat().st_mode & 0o777 == 0o755

    def test_nothing_marked_is_no_error(self, tmp_path: Path) -> None:
        """There may not even be a state directory."""
        assert FileStopMarks(tmp_path / "none").find_stop_marks(["*"]) == {}

    def test_what_cannot_be_read_is_an_error(self, tmp_path: Path) -> None:
        """The watch tells it."""
        (tmp_path / "stop-workers").write_text("a file")
        with pytest.raises(OSError, match="Not a directory"):
            FileStopMarks(tmp_path).find_stop_marks(["*"])
