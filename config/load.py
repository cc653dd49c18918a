"""Loading the configuration: file, environment overrides and checks, with all problems told at once."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from config.checks import Finding, find_problems, find_warnings
from config.credentials import put_credentials
from config.masking import mask_credentials
from config.problems import Location, describe_error, key_path
from config.settings import Settings

DEFAULT_PATH: Final = Path("/etc/shardworker/config.toml")
PATH_VARIABLE: Final = "SHARDWORKER_CONFIG"
OVERRIDE_PREFIX: Final = "SHARDWORKER__"
UNHEARD_OF: Final = "a number of thousands of digits, or lists or tables in each other beyond all measure"
"""What Python's readers give up at with another error than their own."""


class ConfigurationError(Exception):
    """The configuration cannot be used. `problems` holds a line for each thing that is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings, the file they came from, the variables that overrode it, and what to warn of."""

    settings: Settings
    path: Path
    overrides: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class Draft:
    """The file's tables with the overrides put in, before they are checked."""

    path: Path
    tables: dict[str, Any]
    origins: dict[Location, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def origin(self, location: Location) -> str:
        """The variable that set the value at this place, else the file's name."""
        for length in range(len(location), 0, -1):
            if location[:length] in self.origins:
                return self.origins[location[:length]]
        below = (name for place, name in self.origins.items() if place[: len(location)] == location)
        return next(below, self.path.name)


def find_path(path: Path | None, environment: Mapping[str, str]) -> Path:
    """The file to read: the one given, else `SHARDWORKER_CONFIG`, else `/etc/shardworker/config.toml`."""
    return path or Path(environment.get(PATH_VARIABLE) or DEFAULT_PATH)


def load_settings(path: Path | None, environment: Mapping[str, str]) -> LoadedSettings:
    """The checked settings of the file that `find_path` names, overridden by `SHARDWORKER__SECTION__KEY`.

    Raises:
        ConfigurationError: the file is missing, is no TOML, or holds wrong values: all of them are told.
    """
    file = find_path(path, environment)
    draft = Draft(file, _read_tables(file))
    _put_overrides(draft, environment)
    put_credentials(draft.tables, environment)
    settings = _check(draft)
    warnings = tuple(_tell(draft, finding) for finding in find_warnings(settings))
    return LoadedSettings(settings, file, tuple(sorted(draft.origins.values())), warnings)


def effective(settings: Settings) -> dict[str, Any]:
    """The settings as they are in force, for the start log: no credentials, customers and partners counted.

    The names of customers and partners are left out because there can be thousands; files that hold
    passwords are named, never read.
    """
    named: dict[str, Any] = {"directory": True, "partners": True, "rate_limits": {"partners", "customers"}}
    tables: dict[str, Any] = settings.model_dump(mode="json", by_alias=True, exclude=named)
    hidden: dict[str, Any] = _hide_credentials(tables)
    return {
        **hidden,
        "customer_count": len(settings.directory.customers),
        "partner_count": len(settings.partners),
    }


def _read_tables(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problem = f"{path}: there is no such file; name one with --config or {PATH_VARIABLE}"
    except OSError as error:
        problem = f"{path}: the file cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        problem = f"{path}: expected UTF-8, found another byte at position {error.start}"
    except tomllib.TOMLDecodeError as error:
        problem = f"{path}: expected TOML, found a mistake: {error}"
    except (ValueError, RecursionError):
        problem = f"{path}: expected TOML, found {UNHEARD_OF}"
    raise ConfigurationError([problem])


def _put_overrides(draft: Draft, environment: Mapping[str, str]) -> None:
    # Sorted, so that a whole section comes before a key in it.
    for variable in sorted(environment):
        text = environment[variable]
        if not variable.startswith(OVERRIDE_PREFIX) or not text:
            continue
        try:
            value = json.loads(text) if text.startswith(("[", "{")) else text
        except json.JSONDecodeError as error:
            draft.problems.append(f"{variable}: expected JSON, found a mistake at character {error.pos}")
            continue
        except (ValueError, RecursionError):
            draft.problems.append(f"{variable}: expected JSON, found {UNHEARD_OF}")
            continue
        location = _put(draft.tables, variable.removeprefix(OVERRIDE_PREFIX).split("__"), value)
        draft.origins[location] = variable


def _put(tables: dict[str, Any], names: Sequence[str], value: Any) -> Location:
    table, steps = tables, [_key_in(tables, names[0])]
    for name in names[1:]:
        if not isinstance(table.get(steps[-1]), dict):
            table[steps[-1]] = {}
        table = table[steps[-1]]
        steps.append(_key_in(table, name))
    table[steps[-1]] = value
    return tuple(steps)


def _key_in(table: Mapping[str, Any], name: str) -> str:
    # Variables are written in capitals; a key of the file that has some itself is found all the same.
    return next((key for key in table if key.casefold() == name.casefold()), name.lower())


def _check(draft: Draft) -> Settings:
    settings, problems = _validate(draft)
    findings = [] if settings is None else find_problems(settings)
    problems += [_tell(draft, finding) for finding in findings]
    if problems or settings is None:
        raise ConfigurationError(problems)
    return settings


def _validate(draft: Draft) -> tuple[Settings | None, list[str]]:
    """The settings and what is wrong with single values; without those, the rest is checked."""
    try:
        return Settings.model_validate(draft.tables), draft.problems
    except ValidationError as error:
        errors = error.errors(include_url=False)
    problems = [
        *draft.problems,
        *(f"{describe_error(entry, Settings)} ({draft.origin(entry['loc'])})" for entry in errors),
    ]
    for entry in errors:
        if place := _smallest_removable(entry):
            _remove(draft.tables, place)
    try:
        return Settings.model_validate(draft.tables), problems
    except ValidationError:
        return None, problems


def _smallest_removable(error: ErrorDetails) -> Location:
    location = error["loc"][:-1] if error["type"] == "missing" else error["loc"]
    index = next((place for place, step in enumerate(location) if isinstance(step, int)), len(location))
    return location[:index]


def _remove(tables: dict[str, Any], location: Location) -> None:
    *way, last = location
    for step in way:
        tables = tables.get(str(step), {})
    tables.pop(str(last), None)


def _tell(draft: Draft, finding: Finding) -> str:
    return f"{key_path(finding.location)}: {finding.text} ({draft.origin(finding.location)})"


def _hide_credentials(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _hide_credentials(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_hide_credentials(entry) for entry in value]
    return mask_credentials(value) if isinstance(value, str) else value
