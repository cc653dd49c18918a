"""Checks of the section `[signing]`, and of where keys of either kind may lie."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from config import text
from config.problems import Location, found
from config.signing import Signing

NOBODY_HAS_TO: Final = (
    "no type has to be signed: who may write to the queue can leave the signature out. When all senders "
    'sign, set required_types = ["*"]'
)

Problems = Iterator[tuple[Location, str]]


def signing_problems(signing: Signing) -> Problems:
    """What makes the section unusable, each with its place."""
    section = "signing"
    for index, name in enumerate(signing.required_types):
        if not re.match(text.JOB_TYPE, name):
            yield (section, "required_types", index), f'expected a job type or "*", found {found(name)}'
    if signing.required_types and not signing.key_files:
        yield (section, "required_types"), missing_key("key_files")
    yield from key_file_problems((section, "key_files"), signing.key_files)


def signing_warnings(signing: Signing) -> Problems:
    """Keys that shut nobody out."""
    if signing.key_files and not signing.required_types:
        yield ("signing", "key_files"), NOBODY_HAS_TO


def missing_key(name: str) -> str:
    """What is wrong where signatures are asked for, and the list of keys of this name is empty."""
    return f"expected a key beside it in {name}, found none: no message could be verified"


def key_file_problems(location: Location, files: Sequence[Path]) -> Problems:
    """The files of a list of keys that no machine could find."""
    for index, file in enumerate(files):
        if not file.is_absolute():
            wanted = "an absolute path or credential:NAME"
            yield (*location, index), f"expected {wanted}, found {found(str(file))}"
