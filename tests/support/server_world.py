"""A world whose shards are databases on servers, one of which is behind a proxy that can fall ill."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import create_engine, make_url, text

from config.settings import Shard as ShardSection
from shards.engines import Shards
from shards.inbox import create_inbox
from tests.support.world import World

TABLE = "CREATE TABLE orders (order_no BIGINT NOT NULL, customer_id TEXT NOT NULL, note TEXT)"


@dataclass(frozen=True)
class Place:
    """A shard: its database's own URL, the URL that the worker is told, and the server that it names."""

    name: str
    url: str
    worker_url: str
    server: str
    limit: int = 2

    @property
    def customer(self) -> str:
        """The customer who lives there."""
        return f"c-{self.name}"


class ServerWorld:
    """Puts shards on servers in the place of a world's own; each has one customer, and no unique key."""

    def __init__(self, world: World, places: Sequence[Place]) -> None:
        self.world = world
        self.places = {place.name: place for place in places}
        kept = re.split(r"\n\[shards\.", world.config_path.read_text(), maxsplit=1)[0]
        world.config_path.write_text(kept + "".join(map(_section, places)) + self._directory())
        shards = Shards({place.name: ShardSection(url=place.url) for place in places})
        for place in places:
            create_inbox(shards.get(place.name), None)
            _execute(place, TABLE)
        shards.close()

    def rows(self, name: str) -> Counter[int]:
        """How often each order stands on a shard."""
        return Counter(number for (number,) in self._query(name, "SELECT order_no FROM orders"))

    def attempts(self) -> int:
        """How many attempts all shards' inboxes have counted."""
        return sum(
            self._query(name, "SELECT coalesce(sum(attempt), 0) FROM shardworker_inbox")[0][0]
            for name in self.places
        )

    def _query(self, name: str, statement: str) -> list[tuple[int, ...]]:
        engine = create_engine(make_url(self.places[name].url))
        with engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(text(statement))]
        engine.dispose()
        return rows

    def _directory(self) -> str:
        lines = (f'{place.customer} = "{place.name}"\n' for place in self.places.values())
        return "\n[directory.customers]\n" + "".join(lines)


def _section(place: Place) -> str:
    return (
        f'\n[shards.{place.name}]\nurl = "{place.worker_url}"\n'
        f'server = "{place.server}"\nlimit = {place.limit}\n'
    )


def _execute(place: Place, statement: str) -> None:
    engine = create_engine(make_url(place.url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
