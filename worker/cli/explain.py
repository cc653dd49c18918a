"""`shardworker explain`: what became of a job, on every shard and on the failure queue."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec
import typer
from sqlalchemy.exc import SQLAlchemyError

from config.result import CustomerResult
from config.settings import Settings
from shards.directory import DirectoryUnavailable
from shards.engines import Shards
from shards.failures import KnownFailure, classify
from shards.inbox import InboxRow
from shards.parts import find_outcomes
from worker.cli.common import ConfigOption, JsonOption, open_settings
from worker.cli.errors import CommandError
from worker.cli.failed_messages import failed_messages
from worker.cli.output import moment_text, print_json, print_line, print_table
from worker.cli.places import UNLISTED, Place, inbox_places, own_schemas, place_name
from worker.transports.base import TransportError

SEARCHED_MAXIMUM: Final = 1000
PART_COLUMNS: Final = ("customer", "place", "state", "run", "attempt", "begun", "ended", "code", "message")
FAILED_COLUMNS: Final = ("id", "run", "code", "reason", "attempt", "failed at")

Part = dict[str, Any]


def explain(
    job_id: Annotated[str, typer.Argument(metavar="JOB_ID", help="The job's id, as `submit` printed it.")],
    *,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what became of a job: its parts on every shard, and what lies on the failure queue for it.

    Each customer's database keeps how the job's part for that customer ended. A job that is not found has
    not started yet, was refused before it started (see `shardworker results`), or is older than the inbox.
    """
    settings = open_settings(config).settings
    parts, troubles = _ask_shards(settings, job_id)
    failures: list[dict[str, Any]] | None = None
    try:
        found = failed_messages(settings, SEARCHED_MAXIMUM)
        failures = [message.summary() for message in found if message.job_id == job_id]
    except TransportError as error:
        troubles.append(f"The failure queue cannot be read: {error}")
    if as_json:
        print_json(
            {"job_id": job_id, "parts": parts, "failed_messages": failures or [], "troubles": troubles}
        )
    else:
        _print(job_id, parts, failures)
    if troubles:
        raise CommandError("\n".join(troubles))
    if not parts and not failures:
        unlisted = "" if settings.directory.function is None else f" {UNLISTED}"
        raise CommandError(f"Neither a shard nor the failure queue knows the job {job_id!r}.{unlisted}")


def _ask_shards(settings: Settings, job_id: str) -> tuple[list[Part], list[str]]:
    """The job's parts wherever they are found, and which places could not be asked."""
    parts: list[Part] = []
    places, troubles = _places(settings)
    shards = Shards(settings.shards)
    try:
        for place in places:
            shard = shards.get(place.shard)
            try:
                rows = find_outcomes(shard, place.schema, job_id, place.customers)
            except (SQLAlchemyError, KnownFailure) as error:
                troubles.append(
                    f"{place_name(place)} cannot be asked: {classify(error, shard.dialect).message}"
                )
            else:
                parts += _parts(place, rows)
    finally:
        shards.close()
    return sorted(parts, key=lambda part: part["part_no"]), troubles


def _places(settings: Settings) -> tuple[list[Place], list[str]]:
    """Where to look, and why that may not be everywhere."""
    try:
        places = inbox_places(settings, with_gone=True)
    except DirectoryUnavailable as error:
        return own_schemas(settings), [str(error)]
    return places, []


def _parts(place: Place, rows: dict[str, InboxRow]) -> Iterator[Part]:
    for row in rows.values():
        error = _error(row.outcome)
        yield {
            "customer_id": row.customer_id,
            "shard": place.shard,
            "schema": place.schema,
            "state": row.state,
            "run": row.run,
            "attempt": row.attempt,
            "starts": row.starts,
            "part_no": row.part_no,
            "part_count": row.part_count,
            "type": row.job_type,
            "partner_id": row.partner_id,
            "created_at": row.created_at,
            "finished_at": row.finished_at,
            "error_code": error.get("code"),
            "error_message": error.get("message"),
        }


def _error(outcome: bytes | None) -> dict[str, Any]:
    try:
        result = msgspec.json.decode(outcome or b"", type=CustomerResult)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return {}
    return {} if isinstance(result.error, msgspec.UnsetType) else msgspec.structs.asdict(result.error)


def _print(job_id: str, parts: list[Part], failures: list[dict[str, Any]] | None) -> None:
    """The parts and the failed messages; nothing is said of a failure queue that was not read."""
    if parts:
        first = parts[0]
        about = f"{first['type']} of {first['partner_id']}"
        print_table(
            PART_COLUMNS,
            [_row(part) for part in parts],
            title=f"Job {job_id}, {about}: {len(parts)} of {first['part_count']} parts have begun",
        )
    if failures:
        rows = [
            (
                failure["id"],
                failure["run"],
                failure["code"],
                failure["reason"],
                failure["attempt"],
                moment_text(failure["failed_at"]),
            )
            for failure in failures
        ]
        print_table(FAILED_COLUMNS, rows, title="On the failure queue")
    elif parts and failures is not None:
        print_line("Nothing of it is on the failure queue.")


def _row(part: Part) -> tuple[Any, ...]:
    place = Place(part["shard"], part["schema"], ())
    return (
        part["customer_id"],
        place_name(place),
        part["state"],
        part["run"],
        part["attempt"],
        moment_text(part["created_at"]),
        moment_text(part["finished_at"]),
        part["error_code"],
        part["error_message"],
    )
