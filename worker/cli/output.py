"""What commands print: tables for people, JSON for programs; text of others never steers the terminal."""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from config.result import ascii_json
from worker.log_lines import printable

PIPE_COLUMNS: Final = 200
WORD_COLUMNS: Final = 12
BORDER_COLUMNS: Final = 3


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Print a table; None stands as an empty cell. In a pipe it is wide, so that lines stay whole.

    On a terminal that is too narrow for whole words each row is a paragraph of its own.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    table = _table(columns, cells, title)
    terminal = Console()
    if not terminal.is_terminal:
        Console(width=PIPE_COLUMNS).print(table)
    elif _least_width(columns, cells) <= terminal.width:
        terminal.print(table)
    else:
        _print_paragraphs(terminal, columns, cells, title)


def make_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> Table:
    """A table to be shown with others; None stands as an empty cell."""
    return _table(columns, [[_cell(value) for value in row] for row in rows], title)


def show(tables: Iterable[Table]) -> None:
    """Print tables, one below the other. In a pipe they are wide, so that lines stay whole."""
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=PIPE_COLUMNS)
    for table in tables:
        console.print(table)


def _table(columns: Sequence[str], cells: Iterable[Sequence[Text]], title: str | None) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*row)
    return table


def _least_width(columns: Sequence[str], cells: Sequence[Sequence[Text]]) -> int:
    """The terminal's columns that a readable table needs: most words whole, only very long ones folded."""
    texts = zip(columns, *([cell.plain for cell in row] for row in cells), strict=True)
    words = (max((len(word) for text in column for word in text.split()), default=0) for column in texts)
    return sum(min(longest, WORD_COLUMNS) + BORDER_COLUMNS for longest in words)


def _print_paragraphs(
    terminal: Console, columns: Sequence[str], cells: Sequence[Sequence[Text]], title: str | None
) -> None:
    """Each row as lines of a column's name and its value; empty cells are left out."""
    if title is not None:
        terminal.print(Text(title, style="italic"))
    for row in cells:
        terminal.print()
        for column, cell in zip(columns, row, strict=True):
            if cell.plain:
                terminal.print(Text.assemble((f"{column}: ", "bold"), cell))


def print_json(value: Any) -> None:
    """Print the value as one line of ASCII JSON."""
    typer.echo(ascii_json(value).decode("ascii"))


def print_line(text: str) -> None:
    """Print a line of text, without control characters; above a progress bar, where one is shown."""
    typer.echo(printable(text), file=sys.stdout)


def moment_text(moment: datetime | None) -> str | None:
    """A moment for people, in UTC to the second."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _cell(value: object) -> Text:
    return Text("" if value is None else printable(str(value)), style=STATE_STYLES.get(str(value), ""))


STATE_STYLES: Final = {
    "right": "green",
    "succeeded": "green",
    "warning": "yellow",
    "partial": "yellow",
    "open": "yellow",
    "wrong": "red",
    "failed": "red",
    "rejected": "red",
}
