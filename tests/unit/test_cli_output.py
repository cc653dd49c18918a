"""What commands print: tables where there is room for them, paragraphs where there is not."""

import re

import pytest

from worker.cli.output import print_table

COLUMNS = ("job", "status", "what is wrong")
ROWS = [("job-1", "succeeded", None), ("job-2", "failed", "A row with the same unique key exists already.")]


def plain(text: str) -> str:
    return re.sub("\x1b\\[[0-9;]*m", "", text)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Standard output counts as a terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    return monkeypatch


def test_a_wide_terminal_gets_a_table(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As wide as it has to be."""
    terminal.setenv("COLUMNS", "60")
    print_table(COLUMNS, ROWS, title="Jobs")

    assert "┃ job   ┃ status    ┃" in plain(capsys.readouterr().out)


def test_a_terminal_too_narrow_for_whole_words_gets_paragraphs(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each cell that holds something: no word is cut into a column of letters."""
    terminal.setenv("COLUMNS", "30")
    print_table(COLUMNS, ROWS, title="Jobs")

    assert [line.rstrip() for line in plain(capsys.readouterr().out).splitlines()] == [
        "Jobs",
        "",
        "job: job-1",
        "status: succeeded",
        "",
        "job: job-2",
        "status: failed",
        "what is wrong: A row with the",
        "same unique key exists",
        "already.",
    ]


def test_a_pipe_gets_whole_lines_whatever_the_terminal_s_width(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`grep` finds what stands in a row."""
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    print_table(COLUMNS, ROWS)

    assert any("job-2" in line and "exists already." in line for line in capsys.readouterr().out.splitlines())
