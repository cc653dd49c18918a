"""Faults of decoding told as path and rule: what a model asks for, never what a payload holds."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from config.result import ErrorDetail

NO_FORM: Final = "not of the form that is asked for"
UNKNOWN_FIELD: Final = "unknown field"
MISSING_FIELD: Final = "missing required field"
TOO_DEEP: Final = "nested too deeply"

# msgspec ends a message with the place, and names the field of a fault in an object itself.
PLACE: Final = re.compile(r"(?P<text>.*?)(?: - at (?:`key` in )?`(?P<path>\$[^`]*)`)?", re.DOTALL)
NAMED_FIELD: Final = re.compile(
    r"Object (?P<what>missing required|contains unknown) field `(?P<name>.*)`", re.DOTALL
)
# These say what the model asks for or which type came; every other text may hold a value.
RULES: Final = re.compile(
    r"Expected .*|Invalid (?!value|enum value)[A-Za-z0-9 ]+|[A-Z][a-z ]* out of range", re.DOTALL
)
CHOICE: Final = re.compile(r"Invalid (enum )?value.*", re.DOTALL)
# A name that came with the payload is told only if it can be a name.
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")

PYDANTIC_CONSTRAINTS: Final = (
    "ge",
    "gt",
    "le",
    "lt",
    "multiple_of",
    "min_length",
    "max_length",
    "pattern",
    "expected",
)


def msgspec_fault(error: Exception) -> ErrorDetail:
    """The place and the rule in an error of `msgspec.convert` or `msgspec.json.decode`."""
    if isinstance(error, RecursionError):
        return ErrorDetail(column="$", rule=TOO_DEEP)
    place = PLACE.fullmatch(str(error))
    if place is None or error.__cause__ is not None:
        # The text is that of an error raised by the model's own `__post_init__`.
        return ErrorDetail(column=(place and place["path"]) or "$", rule=NO_FORM)
    path = place["path"] or "$"
    named = NAMED_FIELD.fullmatch(place["text"])
    if named is None:
        return ErrorDetail(column=path, rule=_rule(place["text"]))
    if named["what"] == "missing required":
        return ErrorDetail(column=f"{path}.{named['name']}", rule=MISSING_FIELD)
    return ErrorDetail(column=f"{path}{_step(named['name'], _can_be_a_name)}", rule=UNKNOWN_FIELD)


def pydantic_faults(errors: Iterable[Any], known_names: frozenset[str]) -> list[ErrorDetail]:
    """The places and rules in `ValidationError.errors()`; `known_names` are those of the model's fields."""
    return [
        ErrorDetail(column=_pydantic_path(error, known_names), rule=_pydantic_rule(error)) for error in errors
    ]


def can_be_told(name: str) -> bool:
    """Whether a name that came from outside looks like a column's name, and so may stand in a message."""
    return _can_be_a_name(name)


def _rule(text: str) -> str:
    if CHOICE.fullmatch(text):
        return "not one of the allowed values"
    if not RULES.fullmatch(text):
        return NO_FORM
    plain = text.replace("`", "")
    return plain[:1].lower() + plain[1:]


def _pydantic_path(error: Any, known_names: frozenset[str]) -> str:
    location: Sequence[str | int] = error["loc"]
    unknown = error["type"] == "extra_forbidden"
    steps = [_step(step, known_names.__contains__) for step in location[: -1 if unknown else None]]
    last = [_step(location[-1], _can_be_a_name)] if unknown and location else []
    return "".join(["$", *steps, *last])


def _pydantic_rule(error: Any) -> str:
    context = error.get("ctx", {})
    constraints = [f"{name} {context[name]}" for name in PYDANTIC_CONSTRAINTS if name in context]
    rule = error["type"].replace("_", " ")
    return f"{rule}: {', '.join(constraints)}" if constraints else rule


def _step(step: str | int, may_be_told: Callable[[str], bool]) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if may_be_told(step) else "[...]"


def _can_be_a_name(name: str) -> bool:
    return NAME.fullmatch(name) is not None
