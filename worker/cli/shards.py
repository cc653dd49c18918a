"""`shardworker shards`: the list of its commands."""

import typer

from worker.cli.moves import move_customer
from worker.cli.placing import place_customers
from worker.cli.shards_check import check_shards
from worker.cli.shards_controls import pause, resume
from worker.cli.shards_list import list_shards
from worker.cli.shards_migrate import migrate_shards
from worker.cli.shards_purge import purge_shards


def build_app() -> typer.Typer:
    """The group of commands `shards`."""
    app = typer.Typer(
        help="Look after the shards, their inbox tables, and where customers live.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    app.command("list")(list_shards)
    app.command("check")(check_shards)
    app.command("migrate")(migrate_shards)
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("purge")(purge_shards)
    app.command("place")(place_customers)
    app.command("move")(move_customer)
    return app
