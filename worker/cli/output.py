"""What commands print: tables for people, JSON for programs; text of others never steers the terminal."""

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


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Print a table; None stands as an empty cell. In a pipe it is wide, so that lines stay whole."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console = Console()
    console.print(table) if console.is_terminal else Console(width=PIPE_COLUMNS).print(table)


def print_json(value: Any) -> None:
    """Print the value as one line of ASCII JSON."""
    typer.echo(ascii_json(value).decode("ascii"))


def print_line(text: str) -> None:
    """Print a line of text, without control characters."""
    typer.echo(printable(text))


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
