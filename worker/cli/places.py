"""Where inbox tables belong: every shard, and every schema of it that the directory places a customer in."""

import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from typing import Final, NamedTuple

from config.settings import Settings
from shards.directory import BadPlacement, Placement, PlacementState, StaticDirectory
from shards.open_directory import checked, open_catalog

UNLISTED: Final = (
    "A function cannot be listed: of each shard only its own schema is known here. "
    "What is said of schemas and customers is not all there is."
)


class Place(NamedTuple):
    """A schema of a shard (None: the connection's own) and who lives there (None: that is not known)."""

    shard: str
    schema: str | None
    customers: tuple[str, ...] | None


def inbox_places(settings: Settings, *, with_gone: bool = False) -> list[Place]:
    """The places in the configuration's order; a shard without customers counts with its own schema.

    A customer in state `gone` may have no schema any more, and is left out unless asked for. Where a function
    is the directory, there are only the shards' own schemas: see `UNLISTED`.

    Raises:
        DirectoryUnavailable: the catalog cannot be asked.
    """
    if settings.directory.function is not None:
        return own_schemas(settings)
    customers: defaultdict[tuple[str, str | None], list[str]] = defaultdict(list)
    for placement in _usable(all_placements(settings)):
        if with_gone or placement.state is not PlacementState.GONE:
            customers[placement.shard, placement.schema].append(placement.customer_id)
    used = {shard for shard, _ in customers}
    places = [Place(shard, schema, tuple(ids)) for (shard, schema), ids in customers.items()]
    unused = [Place(shard, None, ()) for shard in settings.shards if shard not in used]
    order = {name: number for number, name in enumerate(settings.shards)}
    return sorted([*places, *unused], key=lambda place: (order[place.shard], place.schema or ""))


def own_schemas(settings: Settings) -> list[Place]:
    """Each shard with its connection's own schema: what is known without asking who lives where."""
    return [Place(shard, None, None) for shard in settings.shards]


def all_placements(settings: Settings) -> list[Placement | BadPlacement]:
    """Every customer that the file or the catalog places; raises `DirectoryUnavailable`."""
    if settings.directory.catalog is None:
        return list(StaticDirectory(settings.directory).find(list(settings.directory.customers)).values())
    with closing(open_catalog(settings, time.time)) as catalog:
        return list(checked(catalog.find_all(), settings.shards).values())


def place_name(place: Place) -> str:
    """The place for people: `eu1` or `eu1.customer_1003`."""
    return place.shard if place.schema is None else f"{place.shard}.{place.schema}"


def _usable(found: Iterable[Placement | BadPlacement]) -> Iterable[Placement]:
    return (one for one in found if isinstance(one, Placement))
