"""The parts of customers who are gone: no inbox has their rows, the directory and the operator know them."""

from collections.abc import Sequence
from dataclasses import replace

from config.result import failed
from config.settings import Settings
from shards.directory import DirectoryUnavailable, Placement, PlacementState
from shards.inbox import InboxRow, InboxState
from worker.cli.errors import CommandError
from worker.cli.places import all_placements
from worker.part_files import CUSTOMER_GONE


def with_gone(
    settings: Settings, rows: Sequence[InboxRow], customers: Sequence[str], run: int | None
) -> list[InboxRow]:
    """The rows, and one for each of these customers, in the order in which the job names them.

    A worker fails their parts without a trace in an inbox, so only the job says which of its customers they
    are. Raises `CommandError` where the directory does not call one of them gone, or where they are not as
    many as the parts that have no row.
    """
    if not customers or not rows:
        return list(rows)
    _check(settings, rows, customers)
    newest = max(rows, key=lambda row: row.run)
    missing = missing_parts(rows)
    if len(missing) != len(customers):
        raise CommandError(
            f"{len(missing)} parts of the job have no row, and {len(customers)} customers were named as "
            "gone: name each of theirs once, in the order of the job."
        )
    told = [
        replace(
            newest,
            customer_id=customer_id,
            part_no=part_no,
            run=run or newest.run,
            state=InboxState.FAILED,
            outcome=failed(customer_id, CUSTOMER_GONE),
            dead_letter=False,
        )
        for part_no, customer_id in zip(missing, customers, strict=True)
    ]
    return sorted([*rows, *told], key=lambda row: row.part_no)


def missing_parts(rows: Sequence[InboxRow]) -> list[int]:
    """The numbers of the job's parts that have no row, in order."""
    return sorted(set(range(rows[0].part_count)) - {row.part_no for row in rows})


def _check(settings: Settings, rows: Sequence[InboxRow], customers: Sequence[str]) -> None:
    if repeated := {row.customer_id for row in rows} & set(customers):
        raise CommandError(f"Customer {min(repeated)}: its part has a row, which decides. Do not name it.")
    gone = _gone(settings)
    for customer_id in customers:
        if customer_id not in gone:
            raise CommandError(
                f"Customer {customer_id}: the directory does not call it gone, so its part was not answered "
                "so. Only what is sure is answered: send the job again, with the same id."
            )


def _gone(settings: Settings) -> set[str]:
    if settings.directory.function is not None:
        raise CommandError("A function is the directory: it cannot be listed, so who is gone is not sure.")
    try:
        placements = all_placements(settings)
    except DirectoryUnavailable as error:
        raise CommandError(f"Who is gone cannot be asked now: {error}") from error
    return {
        one.customer_id
        for one in placements
        if isinstance(one, Placement) and one.state is PlacementState.GONE
    }
