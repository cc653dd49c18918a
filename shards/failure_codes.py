"""The databases' own error codes, and which kind of failure each one is."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple


class Kind(StrEnum):
    """What is to be done about a failure."""

    PERMANENT = "permanent"
    RETRY_TRANSACTION = "retry_transaction"
    TRANSIENT = "transient"
    BUSY = "busy"
    AWAY = "away"
    DEFECT = "defect"
    BROKEN = "broken"


class Verdict(NamedTuple):
    """The kind of a failure and our own code for it."""

    kind: Kind
    code: str


UNIQUE: Final = Verdict(Kind.PERMANENT, "unique_violation")
FOREIGN_KEY: Final = Verdict(Kind.PERMANENT, "foreign_key_violation")
NOT_NULL: Final = Verdict(Kind.PERMANENT, "not_null_violation")
CHECK: Final = Verdict(Kind.PERMANENT, "check_violation")
INTEGRITY: Final = Verdict(Kind.PERMANENT, "integrity_violation")
TOO_LONG: Final = Verdict(Kind.PERMANENT, "value_too_long")
OUT_OF_RANGE: Final = Verdict(Kind.PERMANENT, "value_out_of_range")
INVALID: Final = Verdict(Kind.PERMANENT, "invalid_value")
CONFLICT: Final = Verdict(Kind.RETRY_TRANSACTION, "transaction_conflict")
TIMEOUT: Final = Verdict(Kind.TRANSIENT, "statement_timeout")
HANDLER: Final = Verdict(Kind.TRANSIENT, "handler_error")
BUSY: Final = Verdict(Kind.BUSY, "busy")
AWAY: Final = Verdict(Kind.AWAY, "shard_away")
DEFECT: Final = Verdict(Kind.DEFECT, "schema_defect")
BROKEN: Final = Verdict(Kind.BROKEN, "broken_transaction")
CONFLICT_GOES_ON: Final = Verdict(Kind.TRANSIENT, "transaction_conflict")
STOPPED: Final = Verdict(Kind.BUSY, "shutdown")

SQLSTATES: Final[Mapping[str, Verdict]] = {
    "40001": CONFLICT,
    "40P01": CONFLICT,
    "55P03": BUSY,
    "55006": BUSY,
    "57014": TIMEOUT,
    "25P03": TIMEOUT,
    "25P04": TIMEOUT,
    "25006": AWAY,  # a primary that became a standby refuses writes
    "22001": TOO_LONG,
    "22003": OUT_OF_RANGE,
    "22008": OUT_OF_RANGE,
    "23001": FOREIGN_KEY,
    "23502": NOT_NULL,
    "23503": FOREIGN_KEY,
    "23505": UNIQUE,
    "23514": CHECK,
    "44000": CHECK,
    "54000": TOO_LONG,  # a value that does not fit an index entry
}
SQLSTATE_CLASSES: Final[Mapping[str, Verdict]] = {
    "08": AWAY,
    "28": AWAY,
    "53": AWAY,
    "57": AWAY,
    "58": AWAY,
    "XX": AWAY,
    "22": INVALID,
    "23": INTEGRITY,
    "P0": INTEGRITY,
    "26": DEFECT,
    "3D": DEFECT,
    "3F": DEFECT,
    "42": DEFECT,
}

MARIADB_ERRNOS: Final[Mapping[int, Verdict]] = {
    1213: CONFLICT,
    1020: CONFLICT,
    1205: BUSY,
    3572: BUSY,
    1317: TIMEOUT,
    1969: TIMEOUT,
    3024: TIMEOUT,
    1048: NOT_NULL,
    1062: UNIQUE,
    1264: OUT_OF_RANGE,
    1265: INVALID,
    1292: INVALID,
    1366: INVALID,
    1406: TOO_LONG,
    1451: FOREIGN_KEY,
    1452: FOREIGN_KEY,
    1690: OUT_OF_RANGE,
    3819: CHECK,
    4025: CHECK,
    1054: DEFECT,
    1064: DEFECT,
    1142: DEFECT,
    1146: DEFECT,
    1364: DEFECT,
    **dict.fromkeys((0, 1040, 1045, 1049, 1053, 1129, 1130, 1203, 1226, 1290, 1836, 1927), AWAY),
    **dict.fromkeys((2002, 2003, 2005, 2006, 2013, 2014, 2026, 2055, 4031), AWAY),
}

SQLITE_EXTENDED_CODES: Final[Mapping[int, Verdict]] = {
    275: CHECK,
    787: FOREIGN_KEY,
    1299: NOT_NULL,
    1555: UNIQUE,
    2067: UNIQUE,
    2579: UNIQUE,
    3091: INVALID,  # a STRICT table's column type
}
SQLITE_PRIMARY_CODES: Final[Mapping[int, Verdict]] = {
    1: DEFECT,
    5: BUSY,
    6: BUSY,
    9: TIMEOUT,
    18: TOO_LONG,
    19: INTEGRITY,
    20: INVALID,
    **dict.fromkeys((3, 7, 8, 10, 11, 13, 14, 15, 23, 26), AWAY),
}
SQLITE_PRIMARY_MASK: Final = 0xFF


def by_sqlstate(sqlstate: str) -> Verdict | None:
    """The verdict on a PostgreSQL error; `None` for a code that stands in no table."""
    return SQLSTATES.get(sqlstate) or SQLSTATE_CLASSES.get(sqlstate[:2])


def by_mariadb_errno(errno: int) -> Verdict | None:
    """The verdict on a MariaDB or MySQL error; `None` for a code that stands in no table."""
    return MARIADB_ERRNOS.get(errno)


def by_sqlite_code(code: int) -> Verdict | None:
    """The verdict on an SQLite (extended) error code; `None` for a code that stands in no table."""
    return SQLITE_EXTENDED_CODES.get(code) or SQLITE_PRIMARY_CODES.get(code & SQLITE_PRIMARY_MASK)
