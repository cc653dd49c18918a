"""The grants: which customers and job types a partner may reach."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from config import settings
from shards.cached_source import CachedSource
from shards.directory import DirectoryUnavailable

ANY: Final = "*"
NAMED_CUSTOMERS_MAXIMUM: Final = 5


class Grant(NamedTuple):
    """Each of these customers together with each of these job types; `*` in either stands for all."""

    customers: frozenset[str]
    types: frozenset[str]


GrantSource = CachedSource[tuple[Grant, ...]]
"""What a catalog grants, by partner."""


class Grants:
    """What is granted to each partner: by the file, and by the catalog where there is one.

    `*` grants every customer or job type; nothing else is a pattern.

    Args:
        partners: The sections `[partners]` of the file.
        source: What the catalog grants; None where there is no catalog.
    """

    def __init__(self, partners: Mapping[str, settings.Partner], source: GrantSource | None = None) -> None:
        self._source = source
        self.apply(partners)

    def apply(self, partners: Mapping[str, settings.Partner]) -> None:
        """Go by these sections of the file from now on."""
        self._of_file = {
            partner_id: (Grant(frozenset(partner.customers), frozenset(partner.types)),)
            for partner_id, partner in partners.items()
        }

    def refusal(self, partner_id: str, job_type: str, customer_ids: Sequence[str]) -> str | None:
        """A sentence that names what the partner is not granted; `None` when all of it is granted.

        Raises:
            DirectoryUnavailable: the catalog may grant it, and is away.
        """
        granted = self._of_file.get(partner_id, ())
        refusal = _refusal(granted, partner_id, job_type, customer_ids)
        if refusal is None or self._source is None:
            return refusal
        found = self._source.find([partner_id])
        refusal = _refusal((*granted, *found.values.get(partner_id, ())), partner_id, job_type, customer_ids)
        if refusal is not None and found.stale:
            # a refusal is for good, and what was granted meanwhile is not known
            raise DirectoryUnavailable("The catalog is away, and what it granted last is not enough.")
        return refusal


def grants_of_rows(rows: Iterable[tuple[str, str]]) -> tuple[Grant, ...]:
    """The grants of a catalog's rows, each a customer and a job type: one grant for each job type."""
    customers: dict[str, set[str]] = {}
    for customer_id, job_type in rows:
        customers.setdefault(job_type, set()).add(customer_id)
    return tuple(Grant(frozenset(ids), frozenset({job_type})) for job_type, ids in customers.items())


def _refusal(
    granted: Sequence[Grant], partner_id: str, job_type: str, customer_ids: Sequence[str]
) -> str | None:
    if not granted:
        return f"The partner {partner_id!r} is not known here: nothing is granted to it."
    of_type = [grant.customers for grant in granted if _allows(grant.types, job_type)]
    if not of_type:
        return f"The job type {job_type!r} is not granted to the partner {partner_id!r}."
    refused = [one for one in customer_ids if not any(_allows(customers, one) for customers in of_type)]
    return f"Not granted to the partner {partner_id!r}: {_named(refused)}." if refused else None


def _allows(granted: Collection[str], name: str) -> bool:
    return name in granted or ANY in granted


def _named(customer_ids: Sequence[str]) -> str:
    names = ", ".join(repr(customer_id) for customer_id in customer_ids[:NAMED_CUSTOMERS_MAXIMUM])
    more = len(customer_ids) - NAMED_CUSTOMERS_MAXIMUM
    noun = "the customer" if len(customer_ids) == 1 else "the customers"
    return f"{noun} {names} and {more} more" if more > 0 else f"{noun} {names}"
