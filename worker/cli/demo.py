"""`shardworker demo`: the whole way on one machine."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from worker.cli.errors import EXIT_ERROR, CommandError

if TYPE_CHECKING:
    from worker.demo.queues import DemoQueues

DIRECTORY: Final = Path("demo")


def demo(
    directory: Annotated[
        Path, typer.Argument(help="Where to make it; an earlier demo there is replaced.")
    ] = DIRECTORY,
    *,
    queue: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            show_default=False,
            help="Put the queues on this broker: a URL as in \\[queues], with or without a queue's name.",
        ),
    ] = None,
) -> None:
    """Run the main job, whole, on this machine: no AWS, no server, no configuration.

    Makes a directory with queues, three SQLite shards and attachments, sends 500 jobs, good and bad ones,
    runs the worker on them as its own process, and proves by their keys that every row stands there once
    and every job got its answer. The directory stays, for the other commands to be tried on.

    With --queue, three queues of the demo's own are made on that broker, and stay there: their names are
    told. No other queue there is touched.
    """
    # Only this command needs them, and they need the others' output.
    from worker.demo.failures import DemoFailed
    from worker.demo.place import DirectoryTaken
    from worker.demo.run import run_demo

    try:
        proved = run_demo(directory, _queues(queue))
    except DirectoryTaken as error:
        raise CommandError(str(error)) from error
    except DemoFailed as error:
        log = directory / "worker.log"
        raise CommandError(f"{error} See the worker's log: {log}" if log.exists() else str(error)) from error
    except OSError as error:
        raise CommandError(f"The demo cannot write to {directory}: {error.strerror}.") from error
    if not proved:
        raise typer.Exit(EXIT_ERROR)


def _queues(url: str | None) -> "DemoQueues | None":
    from worker.demo.queues import broker_queues
    from worker.transports.addresses import BadQueueUrl

    if url is None:
        return None
    try:
        return broker_queues(url, secrets.token_hex(4))
    except BadQueueUrl as error:
        raise typer.BadParameter(str(error), param_hint="--queue") from error
