"""A site for tests of the commands `place` and `move`: claims check placement rows, orders can be counted."""

import shlex
import sqlite3
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

from typer.testing import Result

from shards.engines import Shard
from shards.parts import PartStore
from shards.placement_rows import PlacementRow
from shards.placing import rows_at
from tests.support.site import Site
from worker.cli.customers import find_customer

FILE_DIRECTORY = '[directory.customers]\nc-1 = "eu1"\nc-2 = "eu2"\n'
CATALOG_DIRECTORY = (
    '[directory]\nplacement_rows = true\n[directory.catalog]\nurl = "sqlite:///{}/catalog.db"\n'
)
COPY = """
import sqlite3, sys
source, target = (sqlite3.connect(path) for path in sys.argv[1:])
with source, target:
    target.executemany("INSERT OR IGNORE INTO orders VALUES (?)", source.execute("SELECT * FROM orders"))
"""


class MovingSite(Site):
    """A site whose claims check placement rows."""

    def place(self, customer_id: str = "c-1") -> tuple[str, int]:
        """The shard and the epoch that the directory has for a customer."""
        placement = find_customer(self.settings, customer_id)
        assert placement is not None
        return placement.shard, placement.epoch

    def part_store(self, customer_id: str) -> PartStore:
        """The inbox where the customer lives, with the check of its placement."""
        placement = find_customer(self.settings, customer_id)
        assert placement is not None
        shard = Shard(placement.shard, self.settings.shards[placement.shard])
        return PartStore(
            shard,
            placement,
            clock=time.time,
            stop=threading.Event(),
            transaction_tries=1,
            check_placement=True,
        )

    def row(self, shard: str, customer_id: str = "c-1") -> PlacementRow | None:
        """A customer's placement row on a shard."""
        opened = Shard(shard, self.settings.shards[shard])
        try:
            return rows_at(opened, None).get(customer_id)
        finally:
            opened.close()

    def orders(self, shard: str) -> list[int]:
        """The orders on a shard."""
        with closing(sqlite3.connect(self.directory / f"{shard}.db")) as database:
            return [number for (number,) in database.execute("SELECT order_no FROM orders ORDER BY 1")]

    def move(self, *arguments: str) -> Result:
        """Move the customer c-1 to eu2."""
        return self.run("shards", "move", "c-1", "eu2", *arguments)

    @property
    def copy_command(self) -> str:
        """A command for --sync."""
        script = self.directory / "bring_orders.py"
        script.write_text(COPY)
        paths = [self.directory / f"{shard}.db" for shard in ("eu1", "eu2")]
        return shlex.join([sys.executable, str(script), *map(str, paths)])


def ended(result: Result) -> Result:
    """The command ended well."""
    assert result.exit_code == 0, result.output
    return result


def file_site(directory: Path) -> MovingSite:
    """A site whose customers stand in the file."""
    site = MovingSite(directory)
    site.path.write_text(site.path.read_text() + "\n[directory]\nplacement_rows = true\n")
    site.set_up()
    return site


def catalog_site(directory: Path) -> MovingSite:
    """A site whose customers stand in a catalog: one, which lives at eu1."""
    site = MovingSite(directory)
    text = site.path.read_text()
    assert FILE_DIRECTORY in text
    site.path.write_text(text.replace(FILE_DIRECTORY, CATALOG_DIRECTORY.format(directory)))
    site.set_up()
    ended(site.run("shards", "place", "c-1", "eu1"))
    return site
