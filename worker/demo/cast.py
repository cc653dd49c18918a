"""Who plays in the demo: shards, customers, partners with what is granted to them, and job types."""

from typing import Final, NamedTuple

SHARDS: Final = ("north", "south", "west")
CUSTOMERS: Final = tuple(f"c-{number}" for number in range(1001, 1013))
UNKNOWN_CUSTOMER: Final = "c-9999"

INSERT_ORDERS: Final = "orders.insert"
INSERT_LINES: Final = "order_lines.insert"
IMPORT_ORDER: Final = "orders.import"
UNKNOWN_TYPE: Final = "orders.cancel"


class Partner(NamedTuple):
    """A partner, and what is granted to it."""

    partner_id: str
    customers: tuple[str, ...]
    types: tuple[str, ...]


ACME: Final = Partner("acme", CUSTOMERS, (INSERT_ORDERS, INSERT_LINES, IMPORT_ORDER))
GLOBEX: Final = Partner("globex", CUSTOMERS[:6], (INSERT_ORDERS, INSERT_LINES))
INITECH: Final = Partner("initech", CUSTOMERS[4:], (INSERT_ORDERS,))
PARTNERS: Final = (ACME, GLOBEX, INITECH)


def shard_of(customer_id: str) -> str:
    """The shard that the customer lives on."""
    return SHARDS[CUSTOMERS.index(customer_id) % len(SHARDS)]
