"""`shardworker shards place`: the placement rows of customers, where the directory has them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, NamedTuple

import typer
from sqlalchemy.exc import SQLAlchemyError

from config.settings import Settings
from shards.directory import BadPlacement, Placement, PlacementState
from shards.engines import Shard, Shards
from shards.failures import KnownFailure, classify
from shards.placement_rows import PlacementRow
from shards.placing import Placed, place_rows, rows_at
from worker.cli.common import ConfigOption, open_settings
from worker.cli.customers import (
    enter_in_catalog,
    file_line,
    find_customer,
    new_placement,
    open_place,
    prepare_place,
)
from worker.cli.errors import CommandError
from worker.cli.every_place import ask_every
from worker.cli.output import print_line
from worker.cli.places import Place, all_placements, inbox_places, own_schemas, place_name

JOBS: Final = 8
TOLD_MAXIMUM: Final = 20
LIVING: Final = frozenset({PlacementState.ACTIVE, PlacementState.MOVING})


class Report(NamedTuple):
    """How many rows were written and how many were there, and what could not be done."""

    written: int
    present: int
    troubles: list[str]


def place_customers(
    customer: Annotated[
        str | None, typer.Argument(metavar="CUSTOMER", show_default=False, help="The customer's id.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Argument(metavar="SHARD", show_default=False, help="For a new customer: its shard."),
    ] = None,
    *,
    schema: Annotated[
        str | None, typer.Option("--schema", help="For a new customer: its schema there.")
    ] = None,
    everyone: Annotated[bool, typer.Option("--all", help="Every customer of the directory.")] = False,
    config: ConfigOption = None,
) -> None:
    """Write the placement row of a customer, or of all, in the database where it lives.

    Workers that check placement rows ([directory] placement_rows) run a customer's parts only where its row
    is active with the directory's epoch. So run this with --all before that is switched on, and for each new
    customer before its first job. It can be run again at any time; rows that are there are left alone.

    With a SHARD it places a new customer, makes the worker's own tables there if they are missing, and enters
    it in the catalog if there is one. A customer with a row in another place is refused: see `shardworker
    shards move`.
    """
    if (customer is None) is not everyone:
        raise typer.BadParameter("Give a CUSTOMER, or --all.")
    settings = open_settings(config).settings
    if customer is None:
        _tell(_place(settings, _everyone(settings)))
        return
    known = find_customer(settings, customer)
    placement = _wanted(settings, known, customer, shard, schema)
    if known is None:
        _prepare(settings, placement)
    _tell(_place(settings, [placement]))
    if known is None:
        _enter(settings, placement)


def _everyone(settings: Settings) -> list[Placement]:
    if settings.directory.function is not None:
        raise CommandError("A function cannot be listed: place its customers one by one, by their ids.")
    found = all_placements(settings)
    for bad in found:
        if isinstance(bad, BadPlacement):
            print_line(f"{bad.customer_id} is left out: {bad.reason}")
    usable = (one for one in found if isinstance(one, Placement))
    return [one for one in usable if one.state is not PlacementState.GONE]


def _wanted(
    settings: Settings, known: Placement | None, customer_id: str, shard: str | None, schema: str | None
) -> Placement:
    """Where the customer lives or, new, is to live; `CommandError` if that does not fit."""
    if known is None:
        if shard is None:
            raise CommandError(
                f"The directory does not know {customer_id!r}. A new customer is placed with its SHARD."
            )
        return new_placement(settings, customer_id, shard, schema)
    if shard is not None and (known.shard, known.schema) != (shard, schema):
        where = place_name(_place_of(known))
        raise CommandError(f"{customer_id!r} lives at {where}. To take it away: `shardworker shards move`.")
    return known


def _prepare(settings: Settings, placement: Placement) -> None:
    """Make the worker's tables where a new customer is to live: no other command knows of that place yet."""
    place = open_place(settings, placement)
    try:
        prepare_place(place)
    finally:
        place.shard.close()


def _place(settings: Settings, placements: Sequence[Placement]) -> Report:
    """Write the rows that are missing, of customers that have no row in another place."""
    shards = Shards(settings.shards, settings.servers)
    try:
        survey = _survey(settings, shards, placements)
        wanted: defaultdict[Place, list[PlacementRow]] = defaultdict(list)
        refused: list[str] = []
        for placement in placements:
            reason = survey.refusal(placement)
            if reason is None:
                row = PlacementRow(placement.customer_id, placement.epoch, PlacementState.ACTIVE)
                wanted[_place_of(placement)].append(row)
            else:
                refused.append(f"{placement.customer_id} is not placed: {reason}")
        report = _write(shards, wanted)
        return report._replace(troubles=[*survey.unasked, *refused, *report.troubles])
    finally:
        shards.close()


class _Survey(NamedTuple):
    """Where customers have rows now, and which places could not be asked."""

    living: dict[str, set[Place]]
    unasked: list[str]

    def refusal(self, placement: Placement) -> str | None:
        """Why no row may be written for the customer; None if it may, or is there."""
        places = self.living.get(placement.customer_id, set())
        if _place_of(placement) in places:
            return None
        if places:
            where = place_name(min(places, key=place_name))
            return f"it has a row at {where} already; see `shardworker shards move`."
        return "not every place could be asked whether it has a row there." if self.unasked else None


def _survey(settings: Settings, shards: Shards, placements: Sequence[Placement]) -> _Survey:
    everywhere = [*inbox_places(settings, with_gone=True), *own_schemas(settings)]
    places = {_bare(place.shard, place.schema) for place in everywhere} | {*map(_place_of, placements)}
    living: defaultdict[str, set[Place]] = defaultdict(set)
    unasked: list[str] = []
    for answer in ask_every(shards, sorted(places, key=place_name), _rows_or_none, jobs=JOBS):
        if answer.value is None:
            unasked.append(f"{place_name(answer.place)} cannot be asked: {answer.error}")
        for row in (answer.value or {}).values():
            if row.state in LIVING:
                living[row.customer_id].add(answer.place)
    return _Survey(living, unasked)


def _rows_or_none(shard: Shard, schema: str | None) -> dict[str, PlacementRow]:
    """The rows of a place; none where there is no table for them."""
    try:
        return rows_at(shard, schema)
    except (SQLAlchemyError, KnownFailure) as error:
        if classify(error, shard.dialect).code == "schema_defect":
            return {}
        raise


def _write(shards: Shards, wanted: Mapping[Place, Sequence[PlacementRow]]) -> Report:
    written = present = 0
    troubles: list[str] = []

    def question(shard: Shard, schema: str | None) -> Placed:
        return place_rows(shard, schema, wanted[_bare(shard.name, schema)])

    for place, placed, error, _ in ask_every(shards, list(wanted), question, jobs=JOBS):
        if placed is None:
            troubles.append(f"{place_name(place)}: {error} Is it migrated (`shardworker shards migrate`)?")
            continue
        written, present = written + placed.written, present + placed.present
        troubles += [f"{customer_id} is not placed: {reason}" for customer_id, reason in placed.refused]
    return Report(written, present, troubles)


def _enter(settings: Settings, placement: Placement) -> None:
    """Tell the directory of the new customer."""
    if settings.directory.catalog is not None:
        enter_in_catalog(settings, placement)
        print_line(f"{placement.customer_id!r} is in the catalog.")
    else:
        print_line("Now enter it, on every machine; in the file's [directory.customers] that is:")
        print_line(file_line(placement))


def _tell(report: Report) -> None:
    print_line(f"{report.written} placement rows written, {report.present} were there.")
    if report.troubles:
        told, more = report.troubles[:TOLD_MAXIMUM], len(report.troubles) - TOLD_MAXIMUM
        raise CommandError("\n".join([*told, *([f"and {more} more"] if more > 0 else [])]))


def _place_of(placement: Placement) -> Place:
    return _bare(placement.shard, placement.schema)


def _bare(shard: str, schema: str | None) -> Place:
    return Place(shard, schema, None)
