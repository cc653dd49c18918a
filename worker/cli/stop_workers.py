"""`shardworker stop-workers`: let workers leave when they have finished, on all hosts or one."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated, Final

import typer

from config.measures import format_duration
from config.settings import Settings
from shards.open_directory import open_catalog
from worker.cli.common import ConfigOption, open_settings
from worker.cli.errors import CommandError
from worker.cli.output import print_line
from worker.stop_marks import EVERYBODY, FileStopMarks, StopMarks

INSTANCE: Final = re.compile(r"[^/]+:[0-9]+")
HOST: Final = re.compile(r"[^/:*]+")


def stop_workers(
    *,
    host: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="Only the workers of this host.")
    ] = None,
    instance: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PID", show_default=False, help="Only this worker, as `shardworker stats` names it."
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Let workers finish what runs and leave; their service manager starts them anew.

    Mirrors `messenger:stop-workers`.

    It sets a mark in the catalog, at which the workers of all hosts look every [directory] cache (5 seconds).
    Those that run now drain as after SIGTERM, with the status 0; those that start later stay. No clocks are
    compared. A worker that cannot reach the catalog goes on, and leaves when it can.

    Without a catalog there is nothing at which all hosts look: name this one with --host, on each of them.
    The mark then lies in [worker] state_directory.
    """
    if host is not None and instance is not None:
        raise typer.BadParameter("Give either --host or --instance, not both.")
    settings = open_settings(config).settings
    name = _name(host, instance)
    with _marks(settings, name) as marks:
        try:
            marks.set_stop_mark(name)
        except OSError as error:
            raise CommandError(
                f"The mark cannot be written to [worker] state_directory: {error.strerror}."
            ) from error
    who = "All workers" if name == EVERYBODY else f"The workers of {name}" if instance is None else name
    delay = format_duration(settings.directory.cache)
    print_line(f"{who} that run now: each drains within {delay}, and leaves. What starts from now on stays.")


def _name(host: str | None, instance: str | None) -> str:
    if instance is not None and not INSTANCE.fullmatch(instance):
        raise typer.BadParameter(f"expected HOST:PID, as `shardworker stats` shows it, found {instance!r}")
    if host is not None and not HOST.fullmatch(host):
        raise typer.BadParameter(f"expected a host's name, found {host!r}")
    return instance or host or EVERYBODY


@contextmanager
def _marks(settings: Settings, name: str) -> Iterator[StopMarks]:
    """Where the workers that are meant look; raises `CommandError` where they do not look at one place."""
    if settings.directory.catalog is not None:
        with closing(open_catalog(settings, time.time)) as catalog:
            yield catalog
        return
    here = socket.gethostname()
    if name.rpartition(":")[0] != here and name != here:
        raise CommandError(
            "There is no catalog, which the workers of all hosts would ask. For those of this host, run "
            f"`shardworker stop-workers --host {here}`, and on each other host the same with its name."
        )
    yield FileStopMarks(settings.worker.state_directory)
