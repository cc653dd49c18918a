"""Who takes part in a soak: shards, the customers who live there, partners, job types."""

from collections.abc import Mapping
from typing import Final, Literal

Server = Literal["postgresql", "mariadb"]

SHARDS: Final[Mapping[str, Server | None]] = {
    "p1": "postgresql",
    "p2": "postgresql",
    "m1": "mariadb",
    "m2": "mariadb",
    "s1": None,
}
"""Each shard and its server; SQLite has none."""

_SHARES: Final = ("p1", "p2", "p1", "m1", "p2", "m2", "p1", "p2", "s1", "m1")
CUSTOMERS: Final = tuple(f"c-{number:02}" for number in range(40))
HOMES: Final = {customer: _SHARES[number % len(_SHARES)] for number, customer in enumerate(CUSTOMERS)}

PARTNER: Final = "acme"
NARROW_PARTNER: Final = "globex"
"""May reach the first of the customers, and no other."""
NARROW_CUSTOMER: Final = CUSTOMERS[0]

ROWS: Final = "soak.rows"
SHARED_ROWS: Final = "soak.shared"
LINES: Final = "soak.lines"
SCRIPT: Final = "soak.script"
UNCONFIGURED: Final = "soak.unheard_of"
TYPES: Final = (ROWS, SHARED_ROWS, LINES, SCRIPT)

BUCKET: Final = "partner-files"
BODIES: Final = "job-bodies"
MAX_ATTEMPTS: Final = 4
MAX_STARTS: Final = 3
