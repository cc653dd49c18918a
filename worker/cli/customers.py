"""One customer for commands: where the directory says that it lives, asked without a cache."""

import json
import re
import time
from contextlib import closing
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from config.settings import Settings
from config.text import CUSTOMER_ID
from shards.customer_places import CustomerPlace
from shards.directory import BadPlacement, Placement, PlacementState, StaticDirectory, checked_placement
from shards.directory_function import FunctionSource
from shards.engines import Shard
from shards.failures import Kind, KnownFailure, classify
from shards.inbox import check_inbox
from shards.migrations import migrate
from shards.open_directory import checked, open_catalog
from worker.cli.errors import CommandError
from worker.cli.every_place import unknown_name


def find_customer(settings: Settings, customer_id: str) -> Placement | None:
    """Where the customer lives; None if the directory does not know it.

    Raises:
        DirectoryUnavailable: the directory cannot be asked.
        CommandError: what it says of the customer cannot be used.
    """
    found = _ask(settings, customer_id)
    if isinstance(found, BadPlacement):
        raise CommandError(f"What the directory says of {customer_id!r} cannot be used: {found.reason}")
    return found


def find_known_customer(settings: Settings, customer_id: str) -> Placement:
    """Where the customer lives; `CommandError` also for one that the directory does not know."""
    found = find_customer(settings, customer_id)
    if found is None:
        raise CommandError(f"The directory does not know the customer {customer_id!r}.")
    return found


def new_placement(settings: Settings, customer_id: str, shard_name: str, schema: str | None) -> Placement:
    """A place for a customer that has none; `CommandError` for a shard, schema or id that cannot be."""
    if shard_name not in settings.shards:
        raise unknown_name("shard", shard_name, settings.shards)
    if not re.match(CUSTOMER_ID, customer_id):
        raise CommandError("A customer's id is 1 to 128 printable ASCII characters without spaces.")
    told = {"shard": shard_name, "schema": schema}
    placement = checked_placement(customer_id, told, settings.shards)
    if isinstance(placement, BadPlacement):
        raise CommandError(placement.reason)
    return placement


def open_place(settings: Settings, placement: Placement) -> CustomerPlace:
    """The placement's database, with connections of its own; the caller closes its shard."""
    shard = Shard(placement.shard, settings.shards[placement.shard])
    return CustomerPlace(placement.customer_id, shard, placement.schema)


def prepare_place(place: CustomerPlace) -> None:
    """Make the worker's own tables there if they are missing; `CommandError` if they cannot be."""
    refused = None
    try:
        migrate(place.shard, place.schema)
    except (SQLAlchemyError, KnownFailure) as error:  # where others made them, no right to is needed
        refused = classify(error, place.shard.dialect)
    faults = check_inbox(place.shard, place.schema)
    if faults and refused is not None and refused.kind is Kind.DEFECT:
        raise CommandError(
            f"{place.name} lacks the worker's own tables, and they cannot be made: {refused.message} Does "
            "the schema exist, and may the user create tables there? A DBA can make them: `shardworker "
            f"shards migrate --sql --dialect {place.shard.dialect}` prints how."
        )
    if faults:
        raise CommandError("\n".join(faults))


def enter_in_catalog(settings: Settings, placement: Placement) -> None:
    """Write where the customer lives into the catalog; a state that stands there stays.

    Raises:
        DirectoryUnavailable: the catalog cannot be asked.
        EpochBehind: it has a higher epoch already.
    """
    with closing(open_catalog(settings, time.time)) as catalog:
        catalog.set_placement(placement.customer_id, placement.shard, placement.schema, epoch=placement.epoch)


def file_line(placement: Placement) -> str:
    """The customer's line for `[directory.customers]` in the configuration file."""
    values: dict[str, Any] = {"shard": placement.shard}
    if placement.schema is not None:
        values["schema"] = placement.schema
    if placement.state is not PlacementState.ACTIVE:
        values["state"] = placement.state.value
    values["epoch"] = placement.epoch
    inside = ", ".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
    return f"{json.dumps(placement.customer_id)} = {{ {inside} }}"


def _ask(settings: Settings, customer_id: str) -> Placement | BadPlacement | None:
    section = settings.directory
    if section.catalog is not None:
        with closing(open_catalog(settings, time.time)) as catalog:
            return checked(catalog.find([customer_id]), settings.shards).get(customer_id)
    if section.function is not None:
        return FunctionSource(section.function, settings.shards)([customer_id]).get(customer_id)
    return StaticDirectory(section).find([customer_id]).get(customer_id)
