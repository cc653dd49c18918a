"""`shardworker shards list`: how each shard stands, asked now, and what this machine's workers say of it."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any, Final, NamedTuple

from config.settings import Settings
from shards.catalog import Action, Scope
from shards.directory import DirectoryUnavailable
from shards.engines import Shard, Shards
from shards.inspection import measure_latency
from shards.migrations import find_version
from shards.open_directory import open_catalog
from worker.cli.common import ConfigOption, JsonOption, open_settings
from worker.cli.directory_findings import reachable_places
from worker.cli.errors import CommandError
from worker.cli.every_place import Answer, ask_every
from worker.cli.output import print_json, print_table
from worker.cli.places import own_schemas
from worker.status_file import WorkerStatus, read_statuses

JOBS: Final = 16
PATIENCE_SECONDS: Final = 10.0
STATES: Final = {Action.PAUSE.value: "paused", Action.GIVE_UP.value: "given up"}
COLUMNS: Final = (
    "shard",
    "dialect",
    "server",
    "state",
    "places",
    "inbox",
    "latency",
    "waiting",
    "running",
    "breaker",
    "what is wrong",
)


class Health(NamedTuple):
    """What a shard answered: the lowest version of its inboxes, and how long it takes to answer anything."""

    version: int
    latency_ms: float


def list_shards(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the shards: state, inbox version, latency, what is in hand and whether the breaker is open.

    All shards are asked at once; one that does not answer is a line like the others. What waits and runs, and
    the breaker, is what the workers on this machine wrote within the last seconds, all of them together.
    """
    settings = open_settings(config).settings
    states, trouble = _states(settings)
    statuses = read_statuses(settings.worker.state_directory)
    schemas = _schemas(settings)
    with closing(Shards(settings.shards)) as shards:
        answers = ask_every(
            shards,
            own_schemas(settings),
            partial(_health, schemas),
            jobs=JOBS,
            patience_seconds=PATIENCE_SECONDS,
        )
        found = {answer.place.shard: answer for answer in answers}
        rows = [
            {
                **_asked(shards.get(name), found[name]),
                "state": states.get(name, "unknown" if trouble else "active"),
                "places": len(schemas[name]),
                **_told(statuses, name),
            }
            for name in settings.shards
        ]
    _print(rows, statuses, as_json=as_json)
    if trouble:
        raise CommandError(trouble)


def _health(schemas: Mapping[str, Sequence[str | None]], shard: Shard, _schema: str | None) -> Health:
    latency_ms = measure_latency(shard, time.perf_counter) * 1000
    return Health(min(find_version(shard, schema) for schema in schemas[shard.name]), round(latency_ms, 2))


def _schemas(settings: Settings) -> dict[str, list[str | None]]:
    schemas: defaultdict[str, list[str | None]] = defaultdict(list)
    for place in reachable_places(settings):
        schemas[place.shard].append(place.schema)
    return dict(schemas)


def _states(settings: Settings) -> tuple[dict[str, str], str | None]:
    """The shards that the catalog's controls stop, and why that is not known where it is not."""
    if settings.directory.catalog is None:
        return {}, None
    try:
        with closing(open_catalog(settings, time.time)) as catalog:
            controls = catalog.controls()
    except DirectoryUnavailable as error:
        return {}, str(error)
    stopped = (control for control in controls if control.scope == Scope.SHARD.value)
    return {control.name: STATES.get(control.action, control.action) for control in stopped}, None


def _asked(shard: Shard, answer: Answer[Health]) -> dict[str, Any]:
    health = answer.value
    return {
        "shard": shard.name,
        "dialect": shard.dialect,
        "server": shard.server,
        "version": health.version if health else None,
        "latency_ms": health.latency_ms if health else None,
        "error": answer.error,
    }


def _told(statuses: Sequence[WorkerStatus], name: str) -> dict[str, Any]:
    """What the workers say of a shard; nothing where none of them has met it."""
    lanes = [status.lanes[name] for status in statuses if name in status.lanes]
    if not lanes:
        return {"waiting": None, "running": None, "breaker": None}
    away = sum(lane.away for lane in lanes)
    some = f"open in {away} of {len(lanes)} workers"
    return {
        "waiting": sum(lane.waiting for lane in lanes),
        "running": sum(lane.running for lane in lanes),
        "breaker": "closed" if away == 0 else "open" if away == len(lanes) else some,
    }


def _print(rows: Sequence[Mapping[str, Any]], statuses: Sequence[WorkerStatus], *, as_json: bool) -> None:
    if as_json:
        print_json(rows)
        return
    keys = ("shard", "dialect", "server", "state", "places", "version")
    last = ("waiting", "running", "breaker", "error")
    cells = [
        (*(row[key] for key in keys), _milliseconds(row["latency_ms"]), *(row[key] for key in last))
        for row in rows
    ]
    workers = f"{len(statuses)} workers on this machine"
    print_table(COLUMNS, cells, title=f"{len(rows)} shards, {workers}")


def _milliseconds(latency_ms: float | None) -> str | None:
    return None if latency_ms is None else f"{latency_ms:.1f} ms"
