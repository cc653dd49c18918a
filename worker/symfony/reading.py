"""Reads the fields of a Symfony message as those of a job, by the names that `[symfony]` gives them."""

from typing import Any, Final, NamedTuple

import msgspec

from config.job import WIRE_FIELDS, BadMessage, JobType
from config.symfony import Reading, Symfony
from config.text import clip

TEXT_FIELDS: Final = ("job_id", "partner_id", "correlation_id")
CLASS_CHARACTERS_SHOWN: Final = 200
NAMES_CHARACTERS_SHOWN: Final = 200


class UnknownClass(BadMessage):
    """A message of a class that no entry of `[symfony]` makes a job type, whose body has no type of ours."""

    def __init__(self, class_name: str) -> None:
        super().__init__(
            "unknown_type", f"No job type is configured for the message class {shown(class_name)}."
        )


class Read(NamedTuple):
    """A message's fields as a job's, without those that it names twice; and what is wrong with those."""

    fields: dict[str, Any]
    faults: dict[str, str]


def shown(class_name: str) -> str:
    """The class name for a reason: anybody can write the header."""
    return repr(clip(class_name, CLASS_CHARACTERS_SHOWN))


def job_fields(fields: dict[str, Any], class_name: str, symfony: Symfony) -> dict[str, Any]:
    """The fields of a message of this class as those of a job.

    Raises:
        UnknownClass: nothing says which job type it is.
        BadMessage: two of its fields are the same field of the job.
    """
    return faultless(read_fields(fields, class_name, symfony), class_name)


def faultless(read: Read, class_name: str) -> dict[str, Any]:
    """The fields that were read of a message of this class; raises as `job_fields`."""
    if not has_type(read.fields) and "type" not in read.faults:
        raise UnknownClass(class_name)
    if read.faults:
        raise BadMessage("bad_message", next(iter(read.faults.values())))
    return read.fields


def read_fields(fields: dict[str, Any], class_name: str, symfony: Symfony) -> Read:
    """The fields of a message of this class as those of a job, as far as they can be told."""
    if not symfony.reads_messages:
        return Read(fields, {})
    reading = symfony.reading_of(class_name)
    read = _renamed(fields, reading)
    found = _in_their_form(read.fields)
    _put_constants(found, reading, read.faults)
    if reading.job_type is not None:
        found["type"] = reading.job_type
        read.faults.pop("type", None)
    for name in read.faults:
        del found[name]
    return Read(found, read.faults)


def has_type(fields: dict[str, Any]) -> bool:
    """Whether the fields name a job type in a job's form."""
    try:
        msgspec.convert(fields.get("type"), JobType)
    except msgspec.ValidationError:
        return False
    return True


def origin(class_name: str) -> str:
    """Whose fields were read, for the reason of a refusal."""
    return f"It was read as the message class {shown(class_name)} by [symfony]."


def _renamed(fields: dict[str, Any], reading: Reading) -> Read:
    """The fields by the job's names. One that is null is as if it were not there: so PHP writes none."""
    rest = {name: value for name, value in fields.items() if name not in reading.fields}
    named: dict[str, Any] = {"payload": rest} if reading.rest_is_payload else rest
    origins: dict[str, str] = {}
    faults: dict[str, str] = {}
    for name, target in reading.fields.items():
        if fields.get(name) is None:
            continue
        if named.get(target) is not None:
            faults[target] = _twice(target, origins.get(target, target), name)
        named[target] = fields[name]
        origins[target] = name
    return Read(named, faults)


def _twice(target: str, one: str, other: str) -> str:
    names = clip(f"{one!r} and {other!r}", NAMES_CHARACTERS_SHOWN)
    return f"The job's {target!r} stands in the message twice, as {names}; leave one of them out."


def _in_their_form(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields in the job's form: numbers as ids are text there, and a single customer a list."""
    found = {name: value for name, value in fields.items() if value is not None or name not in WIRE_FIELDS}
    for name in TEXT_FIELDS:
        if type(found.get(name)) is int:
            found[name] = str(found[name])
    if "customers" in found:
        customers = found["customers"]
        entries = customers if isinstance(customers, list) else [customers]
        found["customers"] = [_customer(entry) for entry in entries]
    return found


def _customer(entry: Any) -> Any:
    if isinstance(entry, dict) and "customer_id" in entry:
        return {**entry, "customer_id": _text(entry["customer_id"])}
    return _text(entry)


def _text(value: Any) -> Any:
    # True is an int to Python, and no id to anybody.
    return str(value) if type(value) is int else value


def _put_constants(fields: dict[str, Any], reading: Reading, faults: dict[str, str]) -> None:
    for name, text in reading.constants.items():
        constant = [text] if name == "customers" else text
        if fields.setdefault(name, constant) != constant:
            faults[name] = (
                f"The job's {name!r} stands in the message with another value than in [symfony] constants."
            )
