"""Secrets by name: `password_file = "credential:eu1"` is a file that systemd hands over, or its source."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

DIRECTORY_VARIABLE: Final = "CREDENTIALS_DIRECTORY"
SOURCE_DIRECTORY: Final = Path("/etc/shardworker/passwords")
UNIT_PREFIX: Final = "password_"
FORM: Final = re.compile(r"credential:([A-Za-z0-9][A-Za-z0-9_.-]*)")
KEY_LISTS: Final = (("signing", "key_files"), ("symfony", "sign_key_files"))


def put_credentials(tables: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Put paths in the place of credentials' names, in the file's tables.

    In a service that is `password_NAME` in its credentials' directory: the units load the whole of
    `/etc/shardworker/passwords` under the name `password`, and systemd puts that before each file's name.
    In an operator's shell it is `/etc/shardworker/passwords/NAME` itself. What is no credential's name
    stays as it is.
    """
    for section in _with_password(tables):
        if "password_file" in section:
            section["password_file"] = _found(section["password_file"], environment)
    for name, key in KEY_LISTS:
        table = tables.get(name)
        files = table.get(key) if isinstance(table, dict) else None
        if isinstance(files, list):
            files[:] = [_found(file, environment) for file in files]


def _found(value: Any, environment: Mapping[str, str]) -> Any:
    name = FORM.fullmatch(str(value))
    return value if name is None else str(_path(name[1], environment))


def _path(name: str, environment: Mapping[str, str]) -> Path:
    directory = environment.get(DIRECTORY_VARIABLE)
    return Path(directory, UNIT_PREFIX + name) if directory else SOURCE_DIRECTORY / name


def _with_password(tables: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    shards, directory = tables.get("shards"), tables.get("directory")
    sections = [tables.get("queues")]
    sections += [*shards.values()] if isinstance(shards, dict) else []
    sections += [directory.get("catalog")] if isinstance(directory, dict) else []
    yield from (section for section in sections if isinstance(section, dict))
