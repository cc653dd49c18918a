"""What `check` and `shards check` find of the shards: tables, rights, sessions, clocks, connections."""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from config.settings import Server, Settings
from shards.engines import Shard, Shards
from shards.inspection import Remark, inspect_place, inspect_session, measure_latency
from worker.cli.every_place import Answer, ask_every
from worker.cli.finding import Finding
from worker.cli.places import Place, place_name

AREA: Final = "shard"
FILE_HINT: Final = "A file that is not there yet is made by `shardworker setup`."
SERVER_HINT: Final = "Does its server run, and are address, user and password right?"
PATIENCE_SECONDS: Final = 60.0


def find_in_shards(
    settings: Settings, shards: Shards, places: Sequence[Place], jobs: int
) -> Iterator[tuple[Place, list[Finding]]]:
    """Look at every place, `jobs` of them at a time; what was found there, in the order of the places."""
    firsts = {place.shard: place.schema for place in reversed(places)}
    question = partial(_remarks, settings, firsts)
    answers = ask_every(shards, places, question, jobs=jobs, patience_seconds=PATIENCE_SECONDS)
    found = {(answer.place.shard, answer.place.schema): answer for answer in answers}
    for place in places:
        yield place, list(_findings(shards.get(place.shard), found[place.shard, place.schema]))


def _remarks(
    settings: Settings, firsts: Mapping[str, str | None], shard: Shard, schema: str | None
) -> list[Remark]:
    """What is to be said of a place; what its whole shard shares is said at its first one."""
    measure_latency(shard, time.monotonic)  # whether it answers at all
    remarks = inspect_place(shard, schema, with_placements=settings.directory.placement_rows)
    if firsts[shard.name] == schema:
        budget = settings.servers.get(shard.server, Server()).connections
        remarks += inspect_session(shard, time.time, budget)
    return remarks


def _findings(shard: Shard, answer: Answer[list[Remark]]) -> Iterator[Finding]:
    name = place_name(answer.place)
    if answer.value is None:
        hint = FILE_HINT if shard.dialect == "sqlite" else SERVER_HINT
        yield Finding(AREA, name, "wrong", f"{answer.error} {hint}")
        return
    for remark in answer.value:
        yield Finding(AREA, name, "wrong" if remark.is_wrong else "warning", remark.text)
    if not answer.value:
        yield Finding(AREA, name, "right")
