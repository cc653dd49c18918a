"""What is wrong with a configuration, in words: the key's path, what was expected and what was found."""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from config.masking import mask_credentials
from config.measures import format_duration, parse_size
from config.rate_limits import FORM, Rate
from config.settings import CustomerPlacement

FOUND_CHARACTERS_MAXIMUM: Final = 80
BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")

NAMED_FORMS: Final[dict[Any, str]] = {
    Path: "an absolute path",
    CustomerPlacement: "a shard's name or a table",
    Rate: FORM,
}

Location = tuple[str | int, ...]


class Expectation(NamedTuple):
    """What a place in the file may hold: a type, and the bounds and parsers that stand beside it."""

    annotation: Any
    metadata: Sequence[Any] = ()


def key_path(location: Location) -> str:
    """The place as the file would write it: `types."orders.insert".timeout`, `handlers.insert[0].table`."""
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            name = step if BARE_KEY.fullmatch(step) else json.dumps(step)
            path += f".{name}" if path else name
    return path


def describe_error(error: ErrorDetails, model: type[BaseModel]) -> str:
    """One of pydantic's errors as a line for the file's author, without the place it was read from."""
    location = error["loc"]
    path = key_path(location)
    if error["type"] == "extra_forbidden":
        return f"{path}: {unknown_name(str(location[-1]), _known_keys(model, location[:-1]), 'key')}"
    place = expectation_at(model, location)
    wanted = "a value" if place is None else expected(place)
    if error["type"] == "missing":
        return f"{path}: expected {wanted}, found nothing; this key is required"
    return f"{path}: expected {wanted}, found {found(error['input'])}"


def unknown_name(name: str, known: Iterable[str], kind: str) -> str:
    """`unknown key; did you mean "limit"?`, or the list of what there is."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    if close:
        return f'unknown {kind}; did you mean "{close[0]}"?'
    return (
        f"unknown {kind}; expected one of {', '.join(names)}" if names else f"unknown {kind}; there is none"
    )


def found(value: Any) -> str:
    """A value of the file for an error message: short, without credentials; tables and lists only named."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    text = json.dumps(mask_credentials(value)) if isinstance(value, str) else _plain(value)
    return text if len(text) <= FOUND_CHARACTERS_MAXIMUM else f"{text[:FOUND_CHARACTERS_MAXIMUM]}…"


def expectation_at(model: type[BaseModel], location: Location) -> Expectation | None:
    """What the place may hold; None where no key of that name is known."""
    place: Expectation | None = Expectation(model)
    for step in location:
        if place is None:
            return None
        place = _step_into(place.annotation, step)
    return place


def expected(place: Expectation) -> str:
    """What a place may hold, in words: `a whole number from 1 to 64`."""
    annotation = place.annotation
    if get_origin(annotation) is Literal:
        return f"one of {', '.join(json.dumps(choice) for choice in get_args(annotation))}"
    if get_origin(annotation) is list:
        return _expected_list(place, annotation)
    if annotation is timedelta:
        return f"a duration such as '30s', '10m' or '14d'{_bounds(place.metadata)}"
    if annotation is int:
        is_size = any(
            isinstance(item, BeforeValidator) and item.func is parse_size for item in place.metadata
        )
        return (
            "a size such as '512KiB', '10MiB' or '2GB'"
            if is_size
            else f"a whole number{_bounds(place.metadata)}"
        )
    if annotation is str:
        return _expected_text(place)
    return NAMED_FORMS.get(annotation, "a table")


def _step_into(annotation: Any, step: str | int) -> Expectation | None:
    if get_origin(annotation) is list:
        return _unwrap(get_args(annotation)[0])
    if get_origin(annotation) is dict:
        return _unwrap(get_args(annotation)[1])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = _fields(annotation).get(str(step))
        return None if field is None else _unwrap(field.annotation, field.metadata)
    return None


def _unwrap(annotation: Any, metadata: Sequence[Any] = ()) -> Expectation:
    """Without `None` and `Annotated` around it: what is left is a class, a `Literal`, a list or a dict."""
    if NoneType in get_args(annotation):
        return _unwrap(next(choice for choice in get_args(annotation) if choice is not NoneType), metadata)
    if get_origin(annotation) is Annotated:
        annotation, *own = get_args(annotation)
        return _unwrap(annotation, (*own, *metadata))
    return Expectation(annotation, metadata)


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _known_keys(model: type[BaseModel], location: Location) -> list[str]:
    place = expectation_at(model, location)
    annotation = None if place is None else place.annotation
    return (
        list(_fields(annotation))
        if isinstance(annotation, type) and issubclass(annotation, BaseModel)
        else []
    )


def _expected_list(place: Expectation, annotation: Any) -> str:
    entry = get_args(annotation)[0]
    kind = "texts" if entry in {str, Path} else "tables"
    at_least = any(getattr(item, "min_length", 0) for item in place.metadata)
    return f"a list of {kind}{' with at least one entry' if at_least else ''}"


def _expected_text(place: Expectation) -> str:
    patterns = [pattern for item in place.metadata if (pattern := getattr(item, "pattern", None))]
    return f"text of the form {patterns[0]}" if patterns else "text"


def _bounds(metadata: Sequence[Any]) -> str:
    lowest = next((item.ge for item in metadata if hasattr(item, "ge")), None)
    highest = next((item.le for item in metadata if hasattr(item, "le")), None)
    if lowest is None:
        return "" if highest is None else f" of at most {_plain(highest)}"
    return (
        f" of at least {_plain(lowest)}"
        if highest is None
        else f" from {_plain(lowest)} to {_plain(highest)}"
    )


def _plain(value: Any) -> str:
    if isinstance(value, timedelta):
        return format_duration(value)
    return json.dumps(value) if isinstance(value, bool | int | float | None) else str(value)
