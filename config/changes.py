"""What a changed configuration changes in a process that runs: what it can take, and what needs a restart."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from config.problems import Location, key_path
from config.section import Section
from config.settings import Directory, Settings, Shard
from config.symfony import Symfony

NAMED_WHOLE: Final = frozenset({"partners", "customers"})
"""Tables with thousands of entries, whose names are nobody's business in a log."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The settings to go on with; by their paths the keys that changed in them, and those that could not."""

    settings: Settings
    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]


def take_changes(old: Settings, new: Settings) -> Changes:
    """What of `new` a process that runs with `old` can take; both are checked, and so is what comes out.

    Taken are the log's level, threads and drain, limits of shards and servers, shards that are new, job
    types, retries and deferrals, partners, the file's customers, what has to be signed and by which keys,
    and how Symfony's messages are read and verified. A shard that is missing stays.
    """
    taken = old.model_copy(
        update={
            "worker": old.worker.model_copy(
                update={"concurrency": new.worker.concurrency, "drain": new.worker.drain}
            ),
            "retry": new.retry,
            "deferral": new.deferral,
            "types": new.types,
            "partners": new.partners,
            "shards": {**new.shards, **{name: _shard(old, new, name) for name in old.shards}},
            "servers": new.servers,
            "directory": _directory(old.directory, new.directory),
            "rate_limits": new.rate_limits,
            "signing": new.signing,
            "symfony": _symfony(old.symfony, new.symfony),
            "logging": old.logging.model_copy(update={"level": new.logging.level}),
        }
    )
    return Changes(taken, _paths(old, taken), _paths(taken, new))


def _shard(old: Settings, new: Settings, name: str) -> Shard:
    before = old.shards[name]
    return before.model_copy(update={"limit": new.shards[name].limit}) if name in new.shards else before


def _symfony(old: Symfony, new: Symfony) -> Symfony:
    names = ("types", "fields", "constants", "messages", "signed_types", "sign_key_files")
    return old.model_copy(update={name: getattr(new, name) for name in names})


def _directory(old: Directory, new: Directory) -> Directory:
    if (old.catalog is None, old.function is None) != (new.catalog is None, new.function is None):
        # Customers come from somewhere else: a directory is opened once.
        return old
    return old.model_copy(update={"customers": new.customers})


def _paths(old: Settings, new: Settings) -> tuple[str, ...]:
    return tuple(key_path(location) for location in _differing(_entries(old), _entries(new), ()))


def _differing(old: dict[str, Any], new: dict[str, Any], place: Location) -> Iterator[Location]:
    for name in {**old, **new}:
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        both = _entries(before), _entries(after)
        if None in both or name in NAMED_WHOLE:
            yield (*place, name)
        else:
            yield from _differing(*both, (*place, name))


def _entries(value: Any) -> Any:
    """What a section or a table of sections holds, by name; None for a single value."""
    if isinstance(value, Section):
        return {name: getattr(value, name) for name in type(value).model_fields}
    return value if isinstance(value, dict) else None
