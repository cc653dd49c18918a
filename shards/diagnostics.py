"""The names in a driver's error: table, columns and constraint, and never a value.

Where a driver tells a name only in its text, the text is read after the code has decided what the error
is, by patterns that cannot match a value.
"""

import re
from typing import Any, Final, NamedTuple

# A key's columns stand before its values: nothing but the first parenthesis can be the columns.
POSTGRESQL_KEY: Final = re.compile(r'[^(]*\(([\w$", ]+)\)=\(')
POSTGRESQL_GENERATED: Final = re.compile(r'Column "([\w$ ]+)" is a(?:n identity| generated) column')
SQLITE_COLUMNS: Final = re.compile(r"(?:UNIQUE|NOT NULL) constraint failed: (\w+\.[\w., ]+)$")
SQLITE_CHECK: Final = re.compile(r"CHECK constraint failed: (\w+)$")
SQLITE_STRICT: Final = re.compile(r"cannot store \w+ value in \w+ column (\w+)\.(\w+)$")
# Each is anchored at the end of the text: what stands before may be a value, and look like a name.
MARIADB_NAMES: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"for key '(?:(?P<table>[\w$]+)\.)?(?P<constraint>[\w$]+)'$",
        r"[Cc]olumn '(?P<columns>[\w$]+)' (?:at row \d+|cannot be null)$",
        r"[Cc]olumn `[\w$]+`\.`(?P<table>[\w$]+)`\.`(?P<columns>[\w$]+)` at row \d+$",
        r"^Field '(?P<columns>[\w$]+)' doesn't have a default value$",
        r"generated column '(?P<columns>[\w$]+)' in table '(?P<table>[\w$]+)' [\w ]+\.?$",
        r"^CONSTRAINT `(?P<constraint>[\w$]+)` failed for `[\w$]+`\.`(?P<table>[\w$]+)`$",
        r"^CONSTRAINT `(?P<table>[\w$]+)\.(?P<columns>[\w$]+)` failed for `[\w$]+`\.`[\w$]+`$",
        r"^Check constraint '(?P<constraint>[\w$]+)' is violated\.$",
        r"^CHECK OPTION failed [`'][\w$]+[`.']+(?P<table>[\w$]+)[`']$",
        r"`(?P<table>\w+)`, CONSTRAINT `(?P<constraint>[\w$]+)` FOREIGN KEY \((?P<columns>[^)]+)\)",
    )
)


class Names(NamedTuple):
    """What an error is about, as far as the driver tells."""

    table: str | None = None
    columns: tuple[str, ...] = ()
    constraint: str | None = None

    def phrases(self) -> list[str]:
        """Each name with what it is the name of."""
        named = [f"table {self.table}"] if self.table else []
        if self.columns:
            named.append(("columns " if len(self.columns) > 1 else "column ") + ", ".join(self.columns))
        return [*named, f"constraint {self.constraint}"] if self.constraint else named


def read_names(error: BaseException, dialect: str) -> Names:
    """The names that the driver's error tells; empty ones for any other error."""
    if dialect == "postgresql":
        return _from_postgresql(error)
    if dialect == "sqlite":
        return _from_sqlite(str(error))
    return _from_mariadb(error)


def _from_postgresql(error: BaseException) -> Names:
    diagnostics: Any = getattr(error, "diag", None)
    if diagnostics is None:
        return Names()
    columns: tuple[str, ...] = (diagnostics.column_name,) if diagnostics.column_name else ()
    if generated := POSTGRESQL_GENERATED.match(diagnostics.message_detail or ""):
        columns = (generated[1],)
    key = POSTGRESQL_KEY.match(diagnostics.message_detail or "")
    if key and not columns and diagnostics.constraint_name:
        columns = tuple(column.strip(' "') for column in key[1].split(","))
    return Names(diagnostics.table_name, columns, diagnostics.constraint_name)


def _from_sqlite(text: str) -> Names:
    if match := SQLITE_COLUMNS.match(text):
        pairs = [name.partition(".") for name in match[1].split(", ")]
        return Names(table=pairs[0][0], columns=tuple(column for _, _, column in pairs))
    if match := SQLITE_STRICT.match(text):
        return Names(table=match[1], columns=(match[2],))
    if match := SQLITE_CHECK.match(text):
        return Names(constraint=match[1])
    return Names()


def _from_mariadb(error: BaseException) -> Names:
    text = str(error.args[1]) if len(error.args) > 1 else ""
    found = next((match for pattern in MARIADB_NAMES if (match := pattern.search(text))), None)
    if found is None:
        return Names()
    names = found.groupdict()
    columns = tuple(column.strip(" `") for column in (names.get("columns") or "").split(",") if column)
    return Names(names.get("table"), columns, names.get("constraint"))
