"""Checks of the section `[symfony]`: what no message could be read or written by, or in two ways."""

import re
from collections.abc import Iterator
from typing import Final

from config import text
from config.job import WIRE_FIELDS
from config.problems import Location, found, unknown_name
from config.result import Result
from config.signing_checks import key_file_problems, missing_key
from config.symfony import REST, Symfony, SymfonyMessage

CLASSES: Final = re.compile(r"[^*]+\\\*|\*|[^*]+")
CLASS_FORMS: Final = r"a class name, or a namespace and \* as in 'App\Message\*'"
PROPERTY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
CONSTANT_FORMS: Final = {
    "partner_id": text.PARTNER_ID,
    "customers": text.CUSTOMER_ID,
    "correlation_id": text.CORRELATION_ID,
}

Problems = Iterator[tuple[Location, str]]


def symfony_problems(symfony: Symfony) -> Problems:
    """What makes the section unusable, each with its place."""
    yield from _class_problems(symfony)
    yield from _type_problems(symfony)
    yield from _field_problems(("symfony", "fields"), symfony.fields)
    if REST in symfony.fields:
        yield ("symfony", "fields", REST), "expected it among the fields of one class, in [symfony.messages]"
    yield from _constant_problems(("symfony", "constants"), symfony.constants)
    for name, message in symfony.messages.items():
        yield from _message_problems(("symfony", "messages", name), symfony, name, message)
    yield from _result_problems(symfony.result_fields)
    yield from _signing_problems(symfony)


def symfony_warnings(symfony: Symfony) -> Problems:
    """What has no effect without something else, and ways past a signature."""
    for name, needed in (
        ("bus", "result_class"),
        ("job_class", "failure_stamps"),
        ("receiver_name", "failure_stamps"),
    ):
        if getattr(symfony, name) and not getattr(symfony, needed):
            yield ("symfony", name), f"it has no effect without {needed}"
    yield from _unsigned_ways(symfony)


def _unsigned_ways(symfony: Symfony) -> Problems:
    """The entries by which unsigned messages become jobs of a type that signed classes lead to as well."""
    entries = symfony.all_types
    signed = {
        *(kind for name, kind in entries.items() if symfony.must_be_signed(name)),
        *(symfony.job_type_of(name) for name in symfony.signed_types),
    }
    for name, kind in entries.items():
        if kind in signed and not symfony.must_be_signed(name):
            section = "types" if name in symfony.types else "messages"
            yield ("symfony", section, name), _unsigned(kind)


def _unsigned(kind: str) -> str:
    return (
        f"its messages become jobs of the type {kind!r} unsigned, while signed_types asks another entry of "
        "that type for signatures: so no job of that type has to be signed. Sign these too, or give them "
        "another type"
    )


def _class_problems(symfony: Symfony) -> Problems:
    for section, names in (("types", symfony.types), ("messages", symfony.messages)):
        for name in names:
            if not CLASSES.fullmatch(name):
                yield ("symfony", section, name), f"expected {CLASS_FORMS}, found {found(name)}"


def _type_problems(symfony: Symfony) -> Problems:
    places: list[tuple[Location, str | None]] = [
        *((("symfony", "types", name), job_type) for name, job_type in symfony.types.items()),
        *((("symfony", "messages", name, "type"), one.type) for name, one in symfony.messages.items()),
    ]
    for location, job_type in places:
        if job_type is not None and not re.match(text.JOB_TYPE, job_type):
            yield location, f"expected a job type, found {found(job_type)}"


def _message_problems(location: Location, symfony: Symfony, name: str, message: SymfonyMessage) -> Problems:
    if message.type is not None and name in symfony.types:
        yield (*location, "type"), "expected one job type for a class, found another in [symfony.types]"
    reading = symfony.reading_of(name)
    if reading.job_type is None and "type" not in reading.fields.values():
        yield location, "expected a job type, found none here nor in [symfony.types]"
    yield from _field_problems((*location, "fields"), message.fields)
    if reading.rest_is_payload and "payload" in reading.fields.values():
        yield (*location, "fields", REST), "expected one source of the payload, found two"
    yield from _constant_problems((*location, "constants"), message.constants)


def _field_problems(location: Location, fields: dict[str, str]) -> Problems:
    for name, target in fields.items():
        if name == REST and target != "payload":
            yield (*location, name), f'expected "payload", found {found(target)}'
        elif target not in WIRE_FIELDS:
            problem = unknown_name(target, WIRE_FIELDS, "field")
            yield (*location, name), f"expected a field of a job, found {found(target)}: {problem}"


def _constant_problems(location: Location, constants: dict[str, str]) -> Problems:
    for name, value in constants.items():
        form = CONSTANT_FORMS.get(name)
        if form is None:
            yield (*location, name), unknown_name(name, CONSTANT_FORMS, "constant")
        elif not re.match(form, value):
            yield (*location, name), f"expected text of the form {form}, found {found(value)}"


def _result_problems(names: dict[str, str]) -> Problems:
    location = ("symfony", "result_fields")
    fields = Result.__struct_fields__
    for ours, theirs in names.items():
        if ours not in fields:
            yield (*location, ours), unknown_name(ours, fields, "field")
        elif not PROPERTY.fullmatch(theirs):
            yield (*location, ours), f"expected a property's name, found {found(theirs)}"
    written = [names.get(field, field) for field in fields]
    for ours, theirs in names.items():
        if written.count(theirs) > 1:
            yield (*location, ours), f"expected a name for each field, found {found(theirs)} for two"


def _signing_problems(symfony: Symfony) -> Problems:
    for index, name in enumerate(symfony.signed_types):
        if not CLASSES.fullmatch(name):
            yield ("symfony", "signed_types", index), f"expected {CLASS_FORMS}, found {found(name)}"
    if symfony.signed_types and not symfony.sign_key_files:
        yield ("symfony", "signed_types"), missing_key("sign_key_files")
    yield from key_file_problems(("symfony", "sign_key_files"), symfony.sign_key_files)
