"""The grants: which customers and job types a partner may reach."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from config import settings

ANY: Final = "*"
NAMED_CUSTOMERS_MAXIMUM: Final = 5


class _Grant(NamedTuple):
    customers: frozenset[str]
    types: frozenset[str]


class Grants:
    """What is granted to each partner. `*` grants every customer or job type; nothing else is a pattern."""

    def __init__(self, partners: Mapping[str, settings.Partner]) -> None:
        self._grants = {
            partner_id: _Grant(frozenset(partner.customers), frozenset(partner.types))
            for partner_id, partner in partners.items()
        }

    def refusal(self, partner_id: str, job_type: str, customer_ids: Sequence[str]) -> str | None:
        """A sentence that names what the partner is not granted; `None` when all of it is granted."""
        grant = self._grants.get(partner_id)
        if grant is None:
            return f"The partner {partner_id!r} is not known here: nothing is granted to it."
        if not _allows(grant.types, job_type):
            return f"The job type {job_type!r} is not granted to the partner {partner_id!r}."
        refused = [customer_id for customer_id in customer_ids if not _allows(grant.customers, customer_id)]
        if refused:
            return f"Not granted to the partner {partner_id!r}: {_named(refused)}."
        return None


def _allows(granted: Collection[str], name: str) -> bool:
    return name in granted or ANY in granted


def _named(customer_ids: Sequence[str]) -> str:
    names = ", ".join(repr(customer_id) for customer_id in customer_ids[:NAMED_CUSTOMERS_MAXIMUM])
    more = len(customer_ids) - NAMED_CUSTOMERS_MAXIMUM
    noun = "the customer" if len(customer_ids) == 1 else "the customers"
    return f"{noun} {names} and {more} more" if more > 0 else f"{noun} {names}"
