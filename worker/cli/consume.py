"""`shardworker consume`: the daemon."""

import os
import sys
from datetime import timedelta
from functools import partial
from typing import Annotated, Final

import structlog
import typer

from config.load import LoadedSettings, effective, load_settings
from worker.cli.common import (
    ConfigOption,
    open_settings,
    request_queue,
    to_duration,
    to_size,
)
from worker.logs import logging_behind
from worker.options import ConsumeOptions
from worker.version import installed_version

CONCURRENCY_MAXIMUM: Final = 64


ConcurrencyOption = Annotated[
    int | None,
    typer.Option(min=1, max=CONCURRENCY_MAXIMUM, help="Threads that run handlers, in place of [worker]'s."),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", "-l", min=1, help="Leave after so many settled jobs.")
]
TimeLimitOption = Annotated[
    timedelta | None,
    typer.Option(
        "--time-limit", "-t", parser=to_duration, metavar="DURATION", help="Leave after 30s, 10m, 2h…"
    ),
]
MemoryLimitOption = Annotated[
    int | None,
    typer.Option(
        "--memory-limit",
        "-m",
        parser=to_size,
        metavar="SIZE",
        help="Leave when the process takes more memory than 512MiB, 2GB…",
    ),
]
FailureLimitOption = Annotated[
    int | None,
    typer.Option(
        "--failure-limit", "-f", min=1, help="Leave after so many jobs that failed or were rejected."
    ),
]
QueueOption = Annotated[
    list[str] | None,
    typer.Option("--queue", metavar="NAME", help="Receive from this request queue only; can be repeated."),
]


def consume(
    *,
    config: ConfigOption = None,
    concurrency: ConcurrencyOption = None,
    limit: LimitOption = None,
    time_limit: TimeLimitOption = None,
    memory_limit: MemoryLimitOption = None,
    failure_limit: FailureLimitOption = None,
    queue: QueueOption = None,
) -> None:
    """Receive jobs and run them until told to stop.

    Mirrors `messenger:consume`.

    SIGTERM or Ctrl-C drains: nothing more is received, what runs is finished and answered, the rest goes
    back to the queue. A second signal gives everything back at once. SIGUSR2 drains too, and leaves with the
    status 79, after which the service manager does not start it again.

    SIGHUP takes a changed configuration, SIGUSR1 writes into the log what each thread is doing.

    The log goes to standard output, as JSON lines unless that is a terminal.
    """
    # The daemon and its libraries are not waited for by the other commands.
    from worker.daemon import run_daemon

    loaded = open_settings(config)
    settings = loaded.settings
    options = ConsumeOptions(
        concurrency=concurrency,
        limit=limit,
        time_limit=time_limit,
        memory_limit=memory_limit,
        failure_limit=failure_limit,
        queues=tuple(request_queue(settings, name) for name in queue or ()),
    )
    with logging_behind(settings.logging, sys.stdout):
        _log_configuration(loaded)
        status = run_daemon(settings, options, partial(load_settings, config, os.environ))
    raise typer.Exit(status)


def _log_configuration(loaded: LoadedSettings) -> None:
    log = structlog.get_logger()
    log.info(
        "config.loaded",
        version=installed_version(),
        file=str(loaded.path),
        overrides=loaded.overrides,
        configuration=effective(loaded.settings),
    )
    for warning in loaded.warnings:
        log.warning("config.warning", msg=warning, file=str(loaded.path))
