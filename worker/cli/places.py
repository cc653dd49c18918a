"""Where inbox tables belong: every shard, and every schema of it that the directory places a customer in."""

from collections import defaultdict
from typing import NamedTuple

from config.settings import Settings


class Place(NamedTuple):
    """A schema of a shard (None: the connection's own) and the customers that live there."""

    shard: str
    schema: str | None
    customers: tuple[str, ...]


def inbox_places(settings: Settings, *, with_gone: bool = False) -> list[Place]:
    """The places in the configuration's order; a shard without customers counts with its own schema.

    A customer in state `gone` may have no schema any more, and is left out unless asked for.
    """
    customers: defaultdict[tuple[str, str | None], list[str]] = defaultdict(list)
    for customer_id, placement in settings.directory.customers.items():
        if with_gone or placement.state != "gone":
            customers[placement.shard, placement.schema_name].append(customer_id)
    used = {shard for shard, _ in customers}
    places = [Place(shard, schema, tuple(ids)) for (shard, schema), ids in customers.items()]
    unused = [Place(shard, None, ()) for shard in settings.shards if shard not in used]
    order = {name: number for number, name in enumerate(settings.shards)}
    return sorted([*places, *unused], key=lambda place: (order[place.shard], place.schema or ""))


def place_name(place: Place) -> str:
    """The place for people: `eu1` or `eu1.customer_1003`."""
    return place.shard if place.schema is None else f"{place.shard}.{place.schema}"
