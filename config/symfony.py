"""The section `[symfony]`: which of Symfony's messages are which jobs, and what its side gets from us."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from pydantic import Field

from config.section import Section

REST: Final = "*"
"""Among a message's fields: all that is not named."""

CLASS_CHARACTERS_MAXIMUM: Final = 1000
CLASS_NAME: Final = r"^[^\\\s*][^\s*]*$"
"""A class with its namespace, as the `type` header names it: without a backslash before it."""

Entry = TypeVar("Entry")


class SymfonyMessage(Section):
    r"""`[symfony.messages."App\\Message\\ImportJob"]`: how the messages of a class are read as jobs."""

    type: str | None = None
    fields: dict[str, str] = {}
    constants: dict[str, str] = {}


UNNAMED: Final = SymfonyMessage()
"""A class that no entry names."""


class Reading(NamedTuple):
    """How one class is read: its job type, its fields by name, whether the rest is payload, its constants."""

    job_type: str | None
    fields: dict[str, str]
    rest_is_payload: bool
    constants: dict[str, str]


class Symfony(Section):
    r"""`[symfony]`: class names as job types, fields of messages as fields of jobs.

    A class is named in full or by its namespace, `App\Message\*`; the longest match wins.

    From `result_class` on, what Symfony's side gets of us: results as objects of a class, dead letters with
    stamps; and which messages are signed, and with what.
    """

    types: dict[str, str] = {}
    fields: dict[str, str] = {}
    constants: dict[str, str] = {}
    messages: dict[str, SymfonyMessage] = {}
    result_class: str | None = Field(default=None, pattern=CLASS_NAME)
    result_fields: dict[str, str] = {}
    bus: str | None = Field(default=None, min_length=1)
    failure_stamps: bool = False
    job_class: str | None = Field(default=None, pattern=CLASS_NAME)
    receiver_name: str | None = Field(default=None, min_length=1)
    signed_types: list[str] = []
    sign_key_files: list[Path] = []

    @property
    def reads_messages(self) -> bool:
        """Whether anything is configured that says how messages are read."""
        return bool(self.types or self.messages or self.fields or self.constants)

    @property
    def writes_messages(self) -> bool:
        """Whether anything is configured that says what Symfony's side gets of us."""
        return bool(self.result_class or self.result_fields or self.failure_stamps)

    @property
    def all_types(self) -> dict[str, str]:
        """The job types of all entries, by the class or namespace of each."""
        named = {name: message.type for name, message in self.messages.items() if message.type is not None}
        return {**self.types, **named} if named else self.types

    def job_type_of(self, class_name: str) -> str | None:
        """The job type of a class; None where no entry names it."""
        return best_match(self.all_types, class_name)

    def must_be_signed(self, class_name: str) -> bool:
        """Whether messages of a class, or of all classes of a namespace, have to be signed."""
        return any(_covers(pattern, class_name) for pattern in self.signed_types)

    def reading_of(self, class_name: str) -> Reading:
        """How messages of a class are read. Its own entries go before those for all, field by field."""
        message = best_match(self.messages, class_name) or UNNAMED
        own = {name: target for name, target in message.fields.items() if name != REST}
        targets = set(message.fields.values())
        general = {name: target for name, target in self.fields.items() if target not in targets}
        return Reading(
            self.job_type_of(class_name),
            {**general, **own},
            REST in message.fields,
            {**self.constants, **message.constants},
        )


def best_match(table: Mapping[str, Entry], class_name: str) -> Entry | None:
    r"""The entry for a class: its own, else that of its nearest namespace, `App\Message\*`, at last `*`."""
    if not table or len(class_name) > CLASS_CHARACTERS_MAXIMUM:
        return None
    return next((table[name] for name in _names(class_name) if name in table), None)


def _covers(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _names(class_name: str) -> Iterator[str]:
    yield class_name
    space = class_name
    while "\\" in space:
        space = space.rpartition("\\")[0]
        yield f"{space}\\*"
    yield "*"
