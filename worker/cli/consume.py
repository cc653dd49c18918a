"""`shardworker consume`: the daemon."""

import os
import sys
from datetime import timedelta
from functools import partial
from typing import Annotated, Final

import structlog
import typer

from config.load import LoadedSettings, effective, load_settings
from config.measures import format_duration
from worker.cli.common import ConfigOption, open_settings
from worker.cli.queue_names import consumed_queues
from worker.cli.symfony_values import to_keepalive, to_memory, to_pause, to_span
from worker.logs import logging_behind
from worker.options import ConsumeOptions
from worker.transports.limits import BATCH_COUNT_MAXIMUM
from worker.version import installed_version

CONCURRENCY_MAXIMUM: Final = 64


QueuesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[QUEUE]...",
        show_default=False,
        help="The request queues to receive from, by name or by a pattern that fits it; all without any.",
    ),
]
QueueOption = Annotated[
    list[str] | None,
    typer.Option("--queue", "--queues", metavar="NAME", help="The same as an option; can be repeated."),
]
AllOption = Annotated[bool, typer.Option("--all", help="Receive from all request queues, as without names.")]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude-receivers", metavar="NAME", help="With --all: but not from this queue; can be repeated."
    ),
]
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
        "--time-limit", "-t", parser=to_span, metavar="DURATION", help="Leave after 3600 (seconds), 10m, 2h…"
    ),
]
MemoryLimitOption = Annotated[
    int | None,
    typer.Option(
        "--memory-limit",
        "-m",
        parser=to_memory,
        metavar="SIZE",
        help="Leave when the process takes more memory than 512M, 2GB…",
    ),
]
FailureLimitOption = Annotated[
    int | None,
    typer.Option(
        "--failure-limit",
        "-f",
        min=1,
        help="Leave after so many failures: jobs that failed or were rejected, and tries that come again.",
    ),
]
SleepOption = Annotated[
    timedelta | None,
    typer.Option(
        parser=to_pause,
        metavar="DURATION",
        show_default="0",
        help="Pause so long after a receive that brought nothing. Not needed: a receive waits for messages.",
    ),
]
KeepaliveOption = Annotated[
    timedelta | None,
    typer.Option(
        parser=to_keepalive,
        metavar="[DURATION]",
        show_default="half of [worker] lease",
        help="Renew the leases of all that is in hand so often. They are always renewed: without a value it "
        "changes nothing.",
    ),
]
FetchSizeOption = Annotated[
    int, typer.Option("--fetch-size", min=1, max=BATCH_COUNT_MAXIMUM, help="Messages for each receive.")
]


def consume(  # noqa: PLR0913 - each is an option of the command
    queues: QueuesArgument = None,
    *,
    queue: QueueOption = None,
    every: AllOption = False,
    excluded: ExcludeOption = None,
    limit: LimitOption = None,
    failure_limit: FailureLimitOption = None,
    memory_limit: MemoryLimitOption = None,
    time_limit: TimeLimitOption = None,
    sleep: SleepOption = None,
    keepalive: KeepaliveOption = None,
    fetch_size: FetchSizeOption = BATCH_COUNT_MAXIMUM,
    concurrency: ConcurrencyOption = None,
    config: ConfigOption = None,
) -> None:
    """Receive jobs and run them until told to stop.

    Mirrors `messenger:consume`.

    The order of the queues is their priority, here as in the configuration: the first goes before all
    others. Each is asked by itself, and none waits for another's answer.

    SIGTERM, SIGQUIT or Ctrl-C drains: nothing more is received, what runs is finished and answered, the rest
    goes back to the queue. A second signal gives everything back at once. SIGUSR2 drains too, and leaves with
    the status 79, after which the service manager does not start it again. `shardworker stop-workers` and
    the limits drain as well; the status is 0, after which it does.

    SIGHUP takes a changed configuration, SIGUSR1 writes into the log what each thread is doing.

    The log goes to standard output, as JSON lines unless that is a terminal.
    """
    # The daemon and its libraries are not waited for by the other commands.
    from worker.daemon import run_daemon

    loaded = open_settings(config)
    settings = loaded.settings
    names = [*(queues or ()), *(queue or ())]
    _check_keepalive(keepalive, settings.worker.lease)
    options = ConsumeOptions(
        concurrency=concurrency,
        limit=limit,
        time_limit=time_limit,
        memory_limit=memory_limit,
        failure_limit=failure_limit,
        queues=consumed_queues(settings, names, every=every, excluded=excluded or ()),
        sleep=sleep or timedelta(),
        keepalive=keepalive,
        fetch_size=fetch_size,
    )
    with logging_behind(settings.logging, sys.stdout):
        _log_configuration(loaded)
        status = run_daemon(settings, options, partial(load_settings, config, os.environ))
    raise typer.Exit(status)


def _check_keepalive(keepalive: timedelta | None, lease: timedelta) -> None:
    """A lease that is renewed late is lost when one renewal fails."""
    if keepalive is not None and keepalive > lease / 2:
        raise typer.BadParameter(
            f"--keepalive is {format_duration(lease / 2)} at most, half of [worker] lease: raise that first."
        )


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
