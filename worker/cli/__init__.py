"""The command line `shardworker`: the list of its commands. Each group of commands has a file of its own."""

from typing import Annotated

import typer

from worker.cli import (
    answer,
    check,
    consume,
    demo,
    ec2,
    explain,
    failed,
    handlers,
    logs,
    results,
    setup,
    shards,
    stats,
    stop_workers,
    submit,
)
from worker.cli.errors import CommandGroup
from worker.cli.symfony_values import KeepaliveCommand
from worker.version import installed_version

EPILOG = "Exit status: 0 done, 1 error, 2 wrong usage, 78 wrong configuration, 79 left for good."


def main() -> None:
    """Run the command that the process was started with, and leave with its exit status."""
    build_app()()


def build_app() -> typer.Typer:
    """The application with all its commands."""
    app = typer.Typer(
        name="shardworker",
        cls=CommandGroup,
        callback=shardworker,
        no_args_is_help=True,
        add_completion=False,
        epilog=EPILOG,
        # Help texts name sections as the file does, [queues]: rich would take that for markup.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.command("demo", short_help="Run the whole way on this machine, without AWS.")(demo.demo)
    app.command("consume", cls=KeepaliveCommand, short_help="Receive jobs and run them (messenger:consume).")(
        consume.consume
    )
    app.command("stop-workers", short_help="Let workers finish and leave (messenger:stop-workers).")(
        stop_workers.stop_workers
    )
    app.command("submit", short_help="Put a job on the request queue ($bus->dispatch()).")(submit.submit)
    app.command("results", short_help="Show the results on the response queue.")(results.results)
    app.add_typer(
        failed.build_app(), name="failed", short_help="Look at failed messages (messenger:failed:*)."
    )
    app.add_typer(shards.build_app(), name="shards", short_help="Look after the shards and their inboxes.")
    app.command("stats", short_help="Show queues, workers and lanes as they stand (messenger:stats).")(
        stats.stats
    )
    app.add_typer(ec2.build_app(), name="ec2", short_help="What runs beside the workers on EC2.")
    app.command("explain", short_help="Tell what became of a job, on every shard.")(explain.explain)
    app.command("logs", short_help="Show a worker's log to people, filtered and summed up.")(logs.logs)
    app.command("answer", short_help="Send a job's result again.")(answer.answer)
    app.command("check", short_help="Tell what is right and what is wrong with the configuration.")(
        check.check
    )
    app.command("setup", short_help="Create what is missing (messenger:setup-transports).")(setup.setup)
    app.command("handlers", short_help="List the job types that are handled (debug:messenger).")(
        handlers.handlers
    )
    return app


def shardworker(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=lambda wanted: _print_version(wanted=wanted),
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """The worker that inserts partners' jobs into customers' databases.

    It takes jobs from a request queue, runs each one's handler in the databases of the customers that it
    names, exactly once, and answers on a response queue.

    First steps: write /etc/shardworker/config.toml (or name a file with --config), then run
    `shardworker setup`, `shardworker check` and `shardworker consume`.
    """


def _print_version(*, wanted: bool) -> None:
    if not wanted:
        return
    number = installed_version()
    typer.echo(
        f"shardworker {number}" if number else "shardworker, run from a checkout that is not installed"
    )
    raise typer.Exit
