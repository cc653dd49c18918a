"""`shardworker shards list`: how each shard stands, asked now, and what this machine's workers say of it."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any, Final, NamedTuple

from config.settings import Settings
from shards.catalog import Action, Control, Scope
from shards.directory import DirectoryUnavailable
from shards.engines import Shard, Shards
from shards.inspection import measure_latency
from shards.migrations import find_version
from shards.open_directory import open_catalog
from worker.cli.common import ConfigOption, JsonOption, open_settings
from worker.cli.directory_findings import reachable_places
from worker.cli.errors import CommandError
from worker.cli.every_place import Answer, ask_every
from worker.cli.output import print_json, print_line, print_table
from worker.cli.places import own_schemas
from worker.cli.stats_workers import breaker_text
from worker.status_file import WorkerStatus, read_statuses

JOBS: Final = 16
PATIENCE_SECONDS: Final = 10.0
CUSTOMERS_MAXIMUM: Final = 20
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
    Customers that are stopped one by one (`shards pause`) are named below the table.
    """
    settings = open_settings(config).settings
    controls, trouble = _controls(settings)
    states = _stopped(controls, Scope.SHARD)
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
    if as_json:
        print_json(rows)
    else:
        _print(rows, statuses)
        _print_customers(_stopped(controls, Scope.CUSTOMER))
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


def _controls(settings: Settings) -> tuple[list[Control], str | None]:
    """What the catalog's controls stop, and why that is not known where it is not."""
    if settings.directory.catalog is None:
        return [], None
    try:
        with closing(open_catalog(settings, time.time)) as catalog:
            return catalog.controls(), None
    except DirectoryUnavailable as error:
        return [], str(error)


def _stopped(controls: Sequence[Control], scope: Scope) -> dict[str, str]:
    """What is stopped of this kind, by name, and how."""
    return {
        control.name: STATES.get(control.action, control.action)
        for control in controls
        if control.scope == scope.value
    }


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
    return {
        "waiting": sum(lane.waiting for lane in lanes),
        "running": sum(lane.running for lane in lanes),
        "breaker": breaker_text(lanes),
    }


def _print(rows: Sequence[Mapping[str, Any]], statuses: Sequence[WorkerStatus]) -> None:
    keys = ("shard", "dialect", "server", "state", "places", "version")
    last = ("waiting", "running", "breaker", "error")
    cells = [
        (*(row[key] for key in keys), _milliseconds(row["latency_ms"]), *(row[key] for key in last))
        for row in rows
    ]
    workers = f"{len(statuses)} workers on this machine"
    print_table(COLUMNS, cells, title=f"{len(rows)} shards, {workers}")


def _print_customers(stopped: Mapping[str, str]) -> None:
    for name, state in islice(stopped.items(), CUSTOMERS_MAXIMUM):
        print_line(f"The customer {name} is {state}.")
    if len(stopped) > CUSTOMERS_MAXIMUM:
        print_line(f"And {len(stopped) - CUSTOMERS_MAXIMUM} more: see the catalog's controls.")


def _milliseconds(latency_ms: float | None) -> str | None:
    return None if latency_ms is None else f"{latency_ms:.1f} ms"
