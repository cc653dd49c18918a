"""Decoding a payload to a handler's model: msgspec's kinds of model and pydantic's."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from config.result import DETAILS_MAXIMUM, ErrorDetail, ascii_json
from handlers.contract import Reject
from handlers.faults import msgspec_fault, pydantic_faults

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Decode = Callable[[Any], Any]


class BadModel(Exception):
    """A model that payloads cannot be decoded to; the message says what would be one."""


def payload_decoder(job_type: str, model: Any) -> Decode:
    """The function that decodes a job type's payload, as JSON gave it, to the model.

    What it returns shares nothing with the payload, so that a handler may change it. It raises `Reject` with
    the code `invalid_payload` for a payload that does not fit. `details` tell the place
    (`$.rows[3].order_no`) and the rule: the first fault of a msgspec model, up to 100 of a pydantic model.

    Raises:
        BadModel: payloads cannot be decoded to this model.
    """
    if hasattr(model, "__pydantic_validator__"):
        return _pydantic_decoder(job_type, model)
    _check(model)
    return partial(_convert, job_type, model)


def _check(model: Any) -> None:
    try:
        # It builds what msgspec keeps of the model, too: threads that met at its first use would crash.
        known = not isinstance(msgspec.inspect.type_info(model), msgspec.inspect.CustomType)
    except TypeError:
        known = False
    if not known:
        raise BadModel(
            f"{model!r} is no model: expected a msgspec Struct, a dataclass, a TypedDict, a pydantic model, "
            "a type such as `dict` or `list[Order]`, or `Any`."
        )


def _convert(job_type: str, model: Any, payload: Any) -> Any:
    try:
        # Where the model says Any, msgspec passes on the very object, which is all customers' of the job.
        return msgspec.convert(msgspec.to_builtins(payload), model)
    except (msgspec.ValidationError, RecursionError) as error:
        fault = msgspec_fault(error)
    raise _rejection(job_type, [fault])


def _pydantic_decoder(job_type: str, model: Any) -> Decode:
    from pydantic import TypeAdapter, ValidationError

    adapter = TypeAdapter(model)
    names = _field_names(model, adapter)

    def decode(payload: Any) -> Any:
        try:
            # From JSON, so that a strict model still takes a date or a decimal, which JSON writes as text.
            return adapter.validate_json(ascii_json(payload))
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False)
        raise _rejection(job_type, pydantic_faults(errors, names))

    return decode


def _field_names(model: Any, adapter: "TypeAdapter[Any]") -> frozenset[str]:
    from pydantic.errors import PydanticInvalidForJsonSchema

    try:
        return frozenset(_property_names(adapter.json_schema()))
    except PydanticInvalidForJsonSchema:
        return frozenset(getattr(model, "model_fields", ()))


def _property_names(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, dict) else ()
        for value in schema.values():
            yield from _property_names(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _property_names(value)


def _rejection(job_type: str, faults: list[ErrorDetail]) -> Reject:
    first = faults[0] if faults else ErrorDetail()
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    return Reject(
        "invalid_payload",
        f"The payload does not fit the model of {job_type}: {first.column}: {first.rule}{more}. "
        "Nothing was done; send the job again with a payload that fits.",
        faults[:DETAILS_MAXIMUM],
    )
