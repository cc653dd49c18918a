"""What `shardworker check` finds of the directory: the catalog's tables, its placements, the function."""

from collections.abc import Iterator
from contextlib import closing
from typing import Literal

from config.settings import Settings
from shards.catalog_tables import check_catalog
from shards.directory import BadPlacement, DirectoryUnavailable
from shards.directory_function import DirectoryImportFailed, FunctionSource
from shards.open_directory import CATALOG, catalog_shard
from worker.cli.places import UNLISTED, Place, all_placements, inbox_places, own_schemas

Fault = tuple[str, Literal["warning", "wrong"], str]
"""What it is about, `warning` or `wrong`, and what to do."""


def directory_faults(settings: Settings) -> Iterator[Fault]:
    """What is wrong or doubtful with a catalog or function; nothing where the file is the directory."""
    if settings.directory.catalog is not None:
        yield from ((CATALOG, "wrong", text) for text in _catalog_faults(settings))
    if settings.directory.function is not None:
        yield from _function_faults(settings, settings.directory.function)


def reachable_places(settings: Settings) -> list[Place]:
    """The inbox's places; without the catalog's answer, which is a finding of its own, the shards alone."""
    try:
        return inbox_places(settings)
    except DirectoryUnavailable:
        return own_schemas(settings)


def _catalog_faults(settings: Settings) -> list[str]:
    with closing(catalog_shard(settings)) as catalog:
        faults = check_catalog(catalog)
    if faults:
        return faults
    try:
        bad = [one for one in all_placements(settings) if isinstance(one, BadPlacement)]
    except DirectoryUnavailable as error:
        return [str(error)]
    return [f"The placement of {one.customer_id!r} cannot be used: {one.reason}" for one in bad]


def _function_faults(settings: Settings, name: str) -> Iterator[Fault]:
    try:
        FunctionSource(name, settings.shards)
    except DirectoryImportFailed as error:
        yield name, "wrong", str(error)
    else:
        yield name, "warning", UNLISTED
