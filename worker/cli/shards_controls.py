"""`shardworker shards pause` and `resume`: a shard or a customer, for all workers, through the catalog."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Annotated

import typer

from config.measures import format_duration
from config.settings import Settings
from shards.catalog import Catalog, Scope
from shards.directory import PlacementState, StaticDirectory
from shards.open_directory import open_catalog
from worker.cli.common import ConfigOption, open_settings
from worker.cli.customers import file_line
from worker.cli.errors import CommandError
from worker.cli.every_place import unknown_name
from worker.cli.output import print_line

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A shard's name, or a customer's id.")]
ShardOption = Annotated[bool, typer.Option("--shard", help="NAME is a shard, where a customer has it too.")]
CustomerOption = Annotated[bool, typer.Option("--customer", help="NAME is a customer.")]


def pause(
    name: NameArgument,
    *,
    shard: ShardOption = False,
    customer: CustomerOption = False,
    config: ConfigOption = None,
) -> None:
    """Let the parts of a shard's customers, or of one customer, wait: for all workers, within seconds.

    What runs is finished. What waits is not counted as an attempt, and is done after `resume`. It needs the
    catalog, which all workers ask; without one, write the state into the configuration of each machine.
    """
    settings = open_settings(config).settings
    with _chosen(settings, name, shard=shard, customer=customer) as (catalog, scope):
        catalog.pause(scope, name)
    print_line(f"The {scope.value} {name} is paused for all workers within {_delay(settings)}.")


def resume(
    name: NameArgument,
    *,
    shard: ShardOption = False,
    customer: CustomerOption = False,
    config: ConfigOption = None,
) -> None:
    """Take a pause of a shard or a customer back, for all workers.

    A customer whose own state is paused, in the catalog's table of customers, stays so.
    """
    settings = open_settings(config).settings
    with _chosen(settings, name, shard=shard, customer=customer) as (catalog, scope):
        if not catalog.resume(scope, name):
            raise CommandError(f"The {scope.value} {name!r} is not paused. See `shardworker shards list`.")
    print_line(f"The {scope.value} {name} goes on, for all workers within {_delay(settings)}.")


@contextmanager
def _chosen(settings: Settings, name: str, *, shard: bool, customer: bool) -> Iterator[tuple[Catalog, Scope]]:
    """The catalog, and what the name is of. Raises `CommandError` where it is of nothing, or of both."""
    if shard and customer:
        raise CommandError("Give either --shard or --customer, not both.")
    if settings.directory.catalog is None:
        raise _without_catalog(settings, name)
    with closing(open_catalog(settings, time.time)) as catalog:
        scopes = [] if customer or name not in settings.shards else [Scope.SHARD]
        if not shard and name in catalog.find([name]):
            scopes.append(Scope.CUSTOMER)
        if not scopes:
            raise _unknown(settings, catalog, name, shard=shard, customer=customer)
        if len(scopes) > 1:
            raise CommandError(f"{name!r} is a shard and a customer: say which with --shard or --customer.")
        yield catalog, scopes[0]


def _unknown(settings: Settings, catalog: Catalog, name: str, *, shard: bool, customer: bool) -> CommandError:
    if shard:
        return unknown_name("shard", name, settings.shards)
    customers = catalog.find_all()
    if customer:
        return unknown_name("customer", name, customers)
    return unknown_name("shard or customer", name, [*settings.shards, *customers])


def _without_catalog(settings: Settings, name: str) -> CommandError:
    """What to write where there is no catalog, for the shard or the customer of this name."""
    if settings.directory.function is not None:
        return CommandError(
            "There is no catalog, and the directory is a function: let it tell the state 'paused' for "
            f"{name!r}, or for the customers that live there."
        )
    placement = StaticDirectory(settings.directory).find([name]).get(name)
    if placement is not None:
        paused = replace(placement, state=PlacementState.PAUSED)
        what = f"For this customer, write {file_line(paused)}"
    elif name in settings.shards:
        what = f'For each customer of the shard, such as {{ shard = "{name}" }}, add state = "paused"'
    else:
        return unknown_name("shard or customer", name, [*settings.shards, *settings.directory.customers])
    return CommandError(
        f"There is no catalog, which all workers would ask. {what} in the configuration file of each "
        "machine, under [directory.customers], and restart the workers."
    )


def _delay(settings: Settings) -> str:
    return format_duration(settings.directory.cache)
