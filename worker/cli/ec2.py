"""`shardworker ec2`: what runs beside the workers on an EC2 machine."""

import os
import sys

import typer

from worker.cli.common import ConfigOption, open_settings
from worker.clock import Clock
from worker.logs import logging_behind


def build_app() -> typer.Typer:
    """The group of commands `ec2`."""
    app = typer.Typer(
        help="What runs beside the workers on an EC2 machine.", no_args_is_help=True, rich_markup_mode=None
    )
    app.callback()(ec2)
    app.command("watch")(watch)
    return app


def ec2() -> None:
    """What runs beside the workers on an EC2 machine."""


def watch(*, config: ConfigOption = None) -> None:
    """Drain this machine's workers when it has to go; one such process for each machine.

    Watches the instance metadata for the end of the machine: scale-in, a spot interruption, a rebalance
    recommendation. Then it stops the workers by [ec2] stop_command, keeps the group's lifecycle hook alive
    meanwhile, and completes it. Where there are no instance metadata it leaves, with status 79.
    """
    from worker.ec2.watcher import run_watcher

    settings = open_settings(config).settings
    with logging_behind(settings.logging, sys.stdout):
        status = run_watcher(settings, os.environ, Clock())
    raise typer.Exit(status)
