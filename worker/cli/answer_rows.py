"""The inbox rows of a job from every place, and the final answer that they make together."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Final

from config.settings import Settings
from shards.directory import DirectoryUnavailable
from shards.engines import Shard, Shards
from shards.inbox import InboxRow, InboxState, Outcome
from shards.parts import find_outcomes
from worker.answers import final_answer
from worker.cli.answer_gone import missing_parts
from worker.cli.errors import CommandError
from worker.cli.every_place import ask_every
from worker.cli.places import UNLISTED, Place, inbox_places, own_schemas, place_name
from worker.conclusion import Answer
from worker.envelope import Identity

PLACES_AT_ONCE: Final = 16
PATIENCE_SECONDS: Final = 30.0
LINES_MAXIMUM: Final = 20
SURROGATES: Final = frozenset(map(chr, range(0xD800, 0xE000)))
ESCAPED: Final = re.compile(r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U00(?:0[0-9a-f]|10)[0-9a-f]{4})")


def find_rows(settings: Settings, job_id: str) -> tuple[list[InboxRow], list[str]]:
    """The job's rows in the order of its parts, and which places could not be asked and why."""
    places, troubles = _places(settings)
    found: dict[str, InboxRow] = {}
    with closing(Shards(settings.shards)) as shards:

        def rows_at(shard: Shard, schema: str | None) -> dict[str, InboxRow]:
            return find_outcomes(shard, schema, job_id, None)

        for said in ask_every(
            shards, places, rows_at, jobs=PLACES_AT_ONCE, patience_seconds=PATIENCE_SECONDS
        ):
            if said.error is not None:
                troubles.append(f"{place_name(said.place)} cannot be asked: {said.error}")
            for row in _of_place(said.place, said.value or {}):
                found[row.customer_id] = max(found.get(row.customer_id, row), row, key=_newness)
    return sorted(found.values(), key=lambda row: row.part_no), troubles


def rebuilt(
    job_id: str, rows: Sequence[InboxRow], run: int | None, troubles: Sequence[str]
) -> tuple[Identity, Answer]:
    """Who is answered and the answer, in the highest run unless another is asked for.

    Raises `CommandError` where the rows do not make one: it says which customers' parts are in the way, and
    why; with it the `troubles` that may be the reason.
    """
    if not rows:
        unknown = f"No inbox has a row of the job {job_id!r}: it did not begin, was refused, or is too old."
        raise CommandError("\n".join([unknown, *troubles]))
    newest = max(rows, key=lambda row: row.run)
    asked = run or newest.run
    obstacles = list(_obstacles(rows, asked))
    if obstacles:
        more = [f"And {len(obstacles) - LINES_MAXIMUM} more."] if len(obstacles) > LINES_MAXIMUM else []
        raise CommandError("\n".join([*obstacles[:LINES_MAXIMUM], *more, *troubles]))
    outcomes = [outcome for row in rows if (outcome := row.found_outcome())]
    identity = Identity(
        job_id=job_id,
        run=asked,
        partner_id=newest.partner_id,
        job_type=newest.job_type,
        correlation_id=_unescaped(newest.correlation_id),
        dry_run=False,
        customer_ids=tuple(row.customer_id for row in rows),
    )
    begun_at = min(row.created_at for row in rows)
    ended_at = max(row.finished_at or row.created_at for row in rows)
    return identity, final_answer(identity, outcomes, begun_at, ended_at)


def _places(settings: Settings) -> tuple[list[Place], list[str]]:
    try:
        places = inbox_places(settings, with_gone=True)
    except DirectoryUnavailable as error:
        return own_schemas(settings), [str(error)]
    return places, [] if settings.directory.function is None else [UNLISTED]


def _of_place(place: Place, rows: dict[str, InboxRow]) -> Iterable[InboxRow]:
    """The rows of who lives there: what a customer who moved left behind may be out of date."""
    return [row for row in rows.values() if place.customers is None or row.customer_id in place.customers]


def _newness(row: InboxRow) -> tuple[int, bool]:
    return row.run, row.found_outcome() is not None


def _obstacles(rows: Sequence[InboxRow], run: int) -> Iterator[str]:
    """Why these rows make no final answer of the run, a sentence each."""
    contents = {(row.job_type, row.partner_id, row.part_count) for row in rows}
    repeated = [number for number, times in Counter(row.part_no for row in rows).items() if times > 1]
    if len(contents) > 1 or repeated:
        yield "The rows under this job id are of two contents, see `shardworker explain`: none is answered."
        return
    for row in rows:
        if (obstacle := _obstacle(row, run)) is not None:
            yield f"Customer {row.customer_id}: {obstacle}."
    count = rows[0].part_count
    for part_no in missing_parts(rows):
        yield (
            f"Part {part_no + 1} of {count} has no row: it did not begin, or its customer lives where nobody "
            "was asked, or is gone (then name it: --gone CUSTOMER)."
        )


def _obstacle(row: InboxRow, run: int) -> str | None:
    outcome = row.found_outcome()
    if row.run > run:
        return f"run {row.run} has taken the place of run {run}, which is answered no more"
    if outcome is None:
        return _without_outcome(row)
    if _is_of_lower_run(outcome, run):
        return f"it failed in run {outcome.run}, and run {run} has not come to it yet"
    return None


def _without_outcome(row: InboxRow) -> str:
    if row.state is InboxState.CLAIMED:
        return "its transaction was broken by its handler; the next delivery of the job says so"
    return f"it has not ended yet (attempts: {row.attempt})"


def _is_of_lower_run(outcome: Outcome, run: int) -> bool:
    return outcome.state == "failed" and outcome.run < run


def _unescaped(correlation_id: str | None) -> str | None:
    """The id as it was sent: inboxes hold it in ASCII, with escapes for what is not."""
    if correlation_id is None:
        return None

    def character(escape: re.Match[str]) -> str:
        found = escape[0].encode("ascii").decode("unicode_escape")
        return escape[0] if found.isascii() or found in SURROGATES else found

    return ESCAPED.sub(character, correlation_id)
