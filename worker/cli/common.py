"""What the commands share: their common options, the configuration, and queues that are closed again."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from config.load import LoadedSettings, load_settings
from config.masking import mask_credentials
from config.measures import parse_duration, parse_size
from config.settings import Logging, Settings
from worker.cli.errors import CommandError
from worker.logs import configure_logging
from worker.objects import ObjectStore, open_object_store
from worker.transports.addresses import read_address
from worker.transports.base import Transport
from worker.transports.factory import open_transport

HELD_MAXIMUM: Final = 20_000
"""How many messages a command may hold at once: to find one on a queue, it takes those before it as well."""

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        show_default=False,
        help="The configuration file. Without it: SHARDWORKER_CONFIG, else /etc/shardworker/config.toml.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
MaximumOption = Annotated[int, typer.Option("--max", min=1, help="How many messages to show at most.")]


def to_duration(text: str) -> timedelta:
    """A duration option's value; a wrong one is a usage error that says what was expected."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def to_size(text: str) -> int:
    """A size option's value in bytes; a wrong one is a usage error that says what was expected."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def open_settings(config: Path | None) -> LoadedSettings:
    """The configuration; raises `ConfigurationError`. What goes wrong meanwhile is logged on stderr."""
    loaded = load_settings(config, os.environ)
    # Standard output is the command's own: its lines are read by people or programs.
    configure_logging(Logging(level="warning"), sys.stderr)
    return loaded


@contextmanager
def open_queue(url: str, settings: Settings) -> Iterator[Transport]:
    """The queue of this URL, closed at the end of the `with` block."""
    transport = open_transport(url, settings.queues, settings.worker.lease, prefetch=HELD_MAXIMUM)
    try:
        yield transport
    finally:
        transport.close()


@contextmanager
def open_store(settings: Settings) -> Iterator[ObjectStore]:
    """The object store, closed at the end of the `with` block."""
    store = open_object_store(settings.queues)
    try:
        yield store
    finally:
        store.close()


def request_queue(settings: Settings, name: str) -> str:
    """The configured URL of the request queue with this name or URL; `CommandError` where there is none."""
    urls = settings.queues.request
    found = [url for url in urls if name in {url, read_address(url).queue_name}]
    if not found:
        known = ", ".join(read_address(url).queue_name for url in urls)
        told = mask_credentials(name)
        raise CommandError(f"No request queue is named {told!r}; [queues] request has: {known}.")
    return found[0]


def confirm(question: str, *, yes: bool) -> None:
    """Ask the person at the terminal, and leave unless the answer is yes; nobody is asked in a script."""
    if not yes and sys.stdin.isatty():
        typer.confirm(question, abort=True, err=True)
