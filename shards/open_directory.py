"""Opens the configured directory and the grants: from the file, a catalog or a function."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from config.settings import Settings
from config.settings import Shard as ShardSection
from shards.availability import Availability, DirectoryListener
from shards.cached_directory import CachedDirectory, Source
from shards.cached_source import CachedSource
from shards.catalog import Catalog
from shards.directory import BadPlacement, Directory, Placement, StaticDirectory, checked_placement
from shards.directory_function import FunctionSource
from shards.engines import Shard
from shards.grants import Grant, Grants, grants_of_rows

CATALOG: Final = "catalog"
CATALOG_TIMEOUT: Final = timedelta(seconds=5)


class NoCatalog(Exception):
    """A command needs the catalog, and the configuration has none."""

    def __init__(self) -> None:
        super().__init__(
            "There is no catalog: the configuration has no section [directory.catalog]. Without one, "
            "placements are changed in the configuration file, or where the directory's function looks."
        )


@dataclass(frozen=True, slots=True)
class OpenDirectory:
    """The directory and the grants, and how to let go of what they hold.

    `shard_names` are the shards where a catalog or a function may place customers. `catalog` is there where
    the directory is one.
    """

    directory: Directory
    grants: Grants
    shard_names: set[str]
    close: Callable[[], None]
    catalog: Catalog | None = None

    def apply(self, settings: Settings) -> None:
        """Go by the file's shards, partners and customers from now on; the source of customers stays."""
        self.shard_names.update(settings.shards)
        self.grants.apply(settings.partners)
        if isinstance(self.directory, StaticDirectory):
            self.directory.apply(settings.directory)


def open_directory(
    settings: Settings,
    listener: DirectoryListener,
    monotonic: Callable[[], float],
    time_of_day: Callable[[], float],
) -> OpenDirectory:
    """The directory and the grants that the configuration names; nothing is asked yet.

    Args:
        settings: The whole configuration.
        listener: Is told when a catalog or function goes away and comes back.
        monotonic: The time that measures spans, in seconds.
        time_of_day: Seconds since 1970.

    Raises:
        BadShardUrl: the catalog's URL cannot be used.
        DirectoryImportFailed: the directory's function cannot be imported.
    """
    section, shard_names = settings.directory, set(settings.shards)
    if section.catalog is None and section.function is None:
        return OpenDirectory(StaticDirectory(section), Grants(settings.partners), shard_names, _nothing)
    availability = Availability(listener, monotonic)

    def directory(source: Source) -> Directory:
        return CachedDirectory(source, section.cache, section.stale, availability, listener, monotonic)

    if section.function is not None:
        source = FunctionSource(section.function, shard_names)
        return OpenDirectory(directory(source), Grants(settings.partners), shard_names, source.close)
    catalog = open_catalog(settings, time_of_day, for_workers=True)
    granted: CachedSource[tuple[Grant, ...]] = CachedSource(
        lambda partner_ids: _granted(catalog, partner_ids),
        section.cache,
        section.stale,
        availability,
        monotonic,
    )
    placed = directory(lambda customer_ids: checked(catalog.find(customer_ids), shard_names))
    return OpenDirectory(placed, Grants(settings.partners, granted), shard_names, catalog.close, catalog)


def open_catalog(
    settings: Settings, time_of_day: Callable[[], float], *, for_workers: bool = False
) -> Catalog:
    """The catalog of the configuration. For workers its time-outs are short: they have what they remember.

    Raises:
        NoCatalog: there is none.
        BadShardUrl: its URL cannot be used.
    """
    return Catalog(catalog_shard(settings, for_workers=for_workers), time_of_day)


def catalog_shard(settings: Settings, *, for_workers: bool = False) -> Shard:
    """The catalog's database; raises as `open_catalog` does."""
    section = settings.directory.catalog
    if section is None:
        raise NoCatalog
    return Shard(CATALOG, _hurried(section) if for_workers else section)


def checked(
    told: Mapping[str, Mapping[str, Any]], shard_names: Collection[str]
) -> dict[str, Placement | BadPlacement]:
    """What a catalog told of each customer, as a placement or as what is wrong with it."""
    return {
        customer_id: checked_placement(customer_id, one, shard_names) for customer_id, one in told.items()
    }


def _granted(catalog: Catalog, partner_ids: Sequence[str]) -> dict[str, tuple[Grant, ...]]:
    return {partner_id: grants_of_rows(rows) for partner_id, rows in catalog.find_grants(partner_ids).items()}


def _hurried(section: ShardSection) -> ShardSection:
    limits = {
        "connect_timeout": min(section.connect_timeout, CATALOG_TIMEOUT),
        "lock_timeout": min(section.lock_timeout, CATALOG_TIMEOUT),
        "statement_timeout": min(section.statement_timeout, CATALOG_TIMEOUT),
    }
    return section.model_copy(update=limits)


def _nothing() -> None:
    """A file holds nothing open."""
