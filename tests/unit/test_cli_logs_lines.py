"""`shardworker logs`: how a line looks to people."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.sample_lines import AWAY, DONE, FAILED, LINES
from worker.cli.logs_lines import Painter, duration_text


@pytest.fixture(autouse=True)
def _in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's time is nine hours ahead of the lines'."""
    with monkeypatch.context() as context:
        context.setenv("TZ", "JST-9")
        time.tzset()
        yield
    time.tzset()


def painted(*lines: dict[str, Any], colours: bool = False, full: bool = False) -> list[str]:
    painter = Painter(colours=colours, full=full)
    return [shown for line in lines for shown in painter.lines(line)]


def test_columns_are_aligned_and_what_is_as_usual_is_left_out() -> None:
    """Time, level, event, job, outcome, then what differs from line to line."""
    date, done, failed, away = painted(*LINES)

    assert date == "-- 2026-11-21 --"
    assert done.split() == [
        "19:00:00.123", "info", "job.done", "j-1", "succeeded", "partner=acme", "type=orders.insert",
        "total=18.4ms", "shards=eu1,eu2",
    ]  # fmt: skip
    assert failed.index("j-2") == done.index("j-1") == away.index("j-1")
    assert failed.index("failed") == done.index("succeeded")
    assert "error_code=unique_violation" in failed
    assert "total=2.50s" in failed


def test_full_shows_every_field() -> None:
    """Also a run of 1 and what is not set."""
    (_, line) = painted(DONE, full=True)

    assert all(f"{name}=" in line for name in ("run", "copy", "error_code"))


def test_each_day_is_told_once() -> None:
    """A log of several days can be read."""
    tomorrow = {**AWAY, "ts": "2026-11-21T15:00:00.000Z"}
    dates = [line for line in painted(DONE, AWAY, tomorrow, tomorrow) if line.startswith("--")]

    assert dates == ["-- 2026-11-21 --", "-- 2026-11-22 --"]


def test_a_stack_stands_below_its_line() -> None:
    """It would bury the line."""
    line = {**AWAY, "event": "part.failed", "error_type": "ValueError", "stack": "ValueError: a.py:1 f"}

    assert painted(line)[2] == "    ValueError: a.py:1 f"


def test_a_handler_s_fields_and_message_are_shown() -> None:
    """As its author wrote them."""
    line = {**AWAY, "event": "handler.log", "msg": "Looked up.", "data": {"found": 12, "of": {"a": [1]}}}

    assert painted(line)[1].endswith('Looked up.  shard=eu3  data.found=12  data.of={"a":[1]}')


def test_nothing_of_a_line_steers_the_terminal() -> None:
    """Neither a value, nor a name, nor a line that is none of the worker's."""
    line = {
        "ts": "\x1b[2J",
        "level": "\x1b",
        "event": "\x1b",
        "job": "\x1b",
        "outcome": "\x1b",
        "\x1b": "\x1b\n",
    }
    data = {**AWAY, "msg": "\x1b", "stack": "\x1b", "data": {"\x1b": "\x1b", "b": {"\x1b": "\x1b"}}}
    raw = Painter(colours=False, full=True).raw("\x1b[2J\ta")

    assert "\x1b" not in "".join(painted(line, data, full=True)) + raw
    assert raw == "\\x1b[2J    a"


def test_colours_mark_level_and_outcome() -> None:
    """On a terminal only: a pipe gets none."""
    assert "\x1b[31mfailed" in painted(FAILED, colours=True)[1]
    assert "\x1b" not in "".join(painted(FAILED))


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0ms"),
        (0.1, "0.1ms"),
        (18.4, "18.4ms"),
        (1000, "1.00s"),
        (90_000, "90.00s"),
        (750_000, "12.5m"),
    ],
)
def test_durations_are_short(milliseconds: float, text: str) -> None:
    """Four figures at most say enough."""
    assert duration_text(milliseconds) == text
