"""The databases' own error codes, and which kind of failure each one is."""

import re
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
    OUTSIDE = "outside"


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
OUT_OF_TIME: Final = Verdict(Kind.TRANSIENT, "part_timeout")
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
    "25006": AWAY,
    "22001": TOO_LONG,
    "22003": OUT_OF_RANGE,
    "22008": OUT_OF_RANGE,
    "23001": FOREIGN_KEY,
    "23502": NOT_NULL,
    "23503": FOREIGN_KEY,
    "23505": UNIQUE,
    "23514": CHECK,
    "44000": CHECK,
    "428C9": INVALID,  # a value for a generated column
    "54000": TOO_LONG,  # a value that does not fit an index entry
}
# What one statement asks for can bring these about, and the server goes on: a part that meets them again and
# again must come to an end. Where the connection is lost too, it was the server.
BY_ONE_STATEMENT: Final = frozenset({"53400", "58P01", "58P02", "XX000"})
INTERNAL_ERROR: Final = "XX000"
STORAGE_FUNCTIONS: Final = "md"
"""How those of PostgreSQL's functions begin that read and write its files."""

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

PLAN_OUTDATED: Final = ("0A000", "RevalidateCachedQuery")
"""A table was altered after the statement on it had been prepared: the next transaction prepares it anew."""

MARIADB_ERRNOS: Final[Mapping[int, Verdict]] = {
    **dict.fromkeys((1020, 1213, 1412, 1614, 1615, 3101), CONFLICT),
    **dict.fromkeys((1205, 1689, 3572), BUSY),
    **dict.fromkeys((1317, 1969, 3024), TIMEOUT),
    **dict.fromkeys((1048, 1263, 1364), NOT_NULL),  # 1364: left out, and there is no default
    **dict.fromkeys((1022, 1062, 1169, 1586, 1761, 1762), UNIQUE),
    **dict.fromkeys((1216, 1217, 1451, 1452, 1557), FOREIGN_KEY),
    **dict.fromkeys((1369, 1526, 3819, 4025), CHECK),
    1644: INTEGRITY,  # SIGNAL
    **dict.fromkeys((1118, 1153, 1301, 1406), TOO_LONG),
    **dict.fromkeys((1264, 1441, 1690), OUT_OF_RANGE),
    **dict.fromkeys((1265, 1292, 1300, 1365, 1366, 1411, 1416), INVALID),
    **dict.fromkeys((1906, 3105), INVALID),  # a value for a generated column
    **dict.fromkeys((3140, 3141, 4038), INVALID),  # JSON
    **dict.fromkeys((1054, 1064, 1109, 1136, 1146, 1305, 1318, 1356, 1582), DEFECT),
    **dict.fromkeys((1142, 1143, 1227, 1370), DEFECT),
    **dict.fromkeys((0, 1040, 1042, 1043, 1047, 1053, 1080, 1129, 1130, 1135, 1203, 1226), AWAY),
    **dict.fromkeys((1152, 1158, 1159, 1160, 1161, 1184, 1927, 4031), AWAY),
    **dict.fromkeys((1698, 1820, 1862, 3118, 4151), AWAY),  # the account
    **dict.fromkeys((1290, 1836), AWAY),
    **dict.fromkeys((3, 28, 1021, 1026, 1030, 1037, 1041, 1114, 1180), AWAY),  # disk or memory is full
    **dict.fromkeys((2002, 2003, 2005, 2006, 2013, 2014, 2026, 2055, 2059), AWAY),
}
MARIADB_LOGIN_ERRNOS: Final = frozenset({1044, 1045, 1049})
"""No access or no such database: away when connecting, a handler's defect in a statement."""

STANDBY_CODES: Final[frozenset[str | int]] = frozenset({"25006", 1290, 1836})
"""A primary that became a standby refuses writes."""

READ_ONLY: Final = re.compile("read[-_]only", re.IGNORECASE)
"""The option that error 1290 names then, in every language: it tells of others, too."""
OPTION_FORBIDS: Final = 1290

SQLITE_EXTENDED_CODES: Final[Mapping[int, Verdict]] = {
    262: BUSY,  # another connection that shares this one's cache
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
    6: HANDLER,  # a table that the same connection reads
    9: TIMEOUT,
    18: TOO_LONG,
    19: INTEGRITY,
    20: INVALID,
    **dict.fromkeys((3, 7, 8, 10, 11, 13, 14, 15, 23, 26), AWAY),
}
SQLITE_PRIMARY_MASK: Final = 0xFF


def by_sqlstate(sqlstate: str, raised_in: str | None = None) -> Verdict | None:
    """The verdict on a PostgreSQL error; `None` for a code that stands in no table.

    `raised_in` is the server's function that raised it.
    """
    if (sqlstate, raised_in) == PLAN_OUTDATED:
        return CONFLICT
    if sqlstate == INTERNAL_ERROR and (raised_in or "").startswith(STORAGE_FUNCTIONS):
        return AWAY
    if sqlstate in BY_ONE_STATEMENT:
        return HANDLER
    return SQLSTATES.get(sqlstate) or SQLSTATE_CLASSES.get(sqlstate[:2])


def by_mariadb_errno(errno: int, *, connecting: bool = False) -> Verdict | None:
    """The verdict on a MariaDB or MySQL error; `None` for a code that stands in no table."""
    if errno in MARIADB_LOGIN_ERRNOS:
        return AWAY if connecting else DEFECT
    return MARIADB_ERRNOS.get(errno)


def by_sqlite_code(code: int) -> Verdict | None:
    """The verdict on an SQLite (extended) error code; `None` for a code that stands in no table."""
    return SQLITE_EXTENDED_CODES.get(code) or SQLITE_PRIMARY_CODES.get(code & SQLITE_PRIMARY_MASK)
