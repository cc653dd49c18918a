"""`shardworker demo`: the whole way on one machine."""

from pathlib import Path
from typing import Annotated, Final

import typer

from worker.cli.errors import EXIT_ERROR, CommandError

DIRECTORY: Final = Path("demo")


def demo(
    directory: Annotated[
        Path, typer.Argument(help="Where to make it; an earlier demo there is replaced.")
    ] = DIRECTORY,
) -> None:
    """Run the main job, whole, on this machine: no AWS, no server, no configuration.

    Makes a directory with queues, three SQLite shards and attachments, sends 500 jobs, good and bad ones,
    runs the worker on them as its own process, and proves by their keys that every row stands there once
    and every job got its answer. The directory stays, for the other commands to be tried on.
    """
    # Only this command needs them, and they need the others' output.
    from worker.demo.failures import DemoFailed
    from worker.demo.place import DirectoryTaken
    from worker.demo.run import run_demo

    try:
        proved = run_demo(directory)
    except DirectoryTaken as error:
        raise CommandError(str(error)) from error
    except DemoFailed as error:
        raise CommandError(f"{error} See the worker's log: {directory / 'worker.log'}") from error
    except OSError as error:
        raise CommandError(f"The demo cannot write to {directory}: {error.strerror}.") from error
    if not proved:
        raise typer.Exit(EXIT_ERROR)
