"""The result as it stands on the response queue: its model and its encoding."""

import json
from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from config.job import BadMessage, CorrelationId, CustomerId, JobId, JobType, PartnerId, Run, Timestamp
from config.text import clip

CODE_CHARACTERS_MAXIMUM: Final = 64
MESSAGE_CHARACTERS_MAXIMUM: Final = 1000
NAME_CHARACTERS_MAXIMUM: Final = 255
DETAILS_MAXIMUM: Final = 100
WAITING_MAXIMUM: Final = 100
TABLES_MAXIMUM: Final = 20
"""Of so many tables a dry run tells by name what would change; of the others together, under no name."""

RESULT_BYTES_MAXIMUM: Final = 64 * 1024

Status = Literal["running", "succeeded", "partial", "failed", "rejected"]
STATUSES_OF_CUSTOMERS: Final[dict[str, set[str]]] = {
    "succeeded": {"succeeded"},
    "partial": {"succeeded", "failed"},
    "failed": {"failed"},
    "rejected": set(),
}

Name = Annotated[str, Meta(max_length=NAME_CHARACTERS_MAXIMUM)]
Count = Annotated[int, Meta(ge=0)]


class BadResult(Exception):
    """A handler's return value that cannot be a result."""


class ErrorDetail(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where in the input an error lies: never the value itself."""

    row: Annotated[int, Meta(ge=0)] | None = None
    column: Name | None = None
    rule: Name | None = None


class Error(Struct, frozen=True, kw_only=True):
    """Why a job or a part failed. `message` names the column and the rule, never a value."""

    code: Annotated[str, Meta(min_length=1, max_length=CODE_CHARACTERS_MAXIMUM)]
    message: Annotated[str, Meta(max_length=MESSAGE_CHARACTERS_MAXIMUM)]
    retryable: bool = False
    details: Annotated[tuple[ErrorDetail, ...], Meta(max_length=DETAILS_MAXIMUM)] = ()


class Change(Struct, frozen=True, kw_only=True):
    """How many rows of a table a dry run's statements would have changed; no table: which is not told.

    `upserted`: rows that were inserted or took the place of others, which the database does not tell apart.
    """

    table: Name | None
    inserted: Count = 0
    updated: Count = 0
    deleted: Count = 0
    upserted: Count = 0


class CustomerResult(Struct, frozen=True, kw_only=True):
    """What became of one customer's part; of a dry run that succeeded, what it would have changed."""

    customer_id: CustomerId
    status: Literal["succeeded", "failed"]
    result: Any = UNSET
    changes: Annotated[tuple[Change, ...], Meta(max_length=TABLES_MAXIMUM + 1)] | UnsetType = UNSET
    error: Error | UnsetType = UNSET


class Progress(Struct, frozen=True, kw_only=True):
    """How many of a running job's parts are done."""

    done: Count
    total: Count


class Result(Struct, frozen=True, kw_only=True):
    """A job's result. `customers` stand in the job's order."""

    job_id: JobId
    run: Run
    type: JobType | None
    partner_id: PartnerId
    correlation_id: CorrelationId | None
    dry_run: bool
    status: Status
    customers: tuple[CustomerResult, ...]
    received_at: Timestamp
    finished_at: Timestamp | None = None
    error: Error | UnsetType = UNSET
    progress: Progress | UnsetType = UNSET
    waiting: Annotated[tuple[CustomerId, ...], Meta(max_length=WAITING_MAXIMUM)] | UnsetType = UNSET


# Made here, before there are threads to meet at the models' first use.
RESULT: Final = msgspec.json.Decoder(Result)


def error_of(
    code: str, message: str, details: Iterable[ErrorDetail] = (), *, retryable: bool = False
) -> Error:
    """An error within the contract's limits, whatever it is made of: what is too long is cut."""
    return Error(
        code=clip(code, CODE_CHARACTERS_MAXIMUM) or "handler_error",
        message=clip(message, MESSAGE_CHARACTERS_MAXIMUM),
        retryable=retryable,
        details=tuple(_clipped(detail) for detail in islice(details, DETAILS_MAXIMUM)),
    )


def ascii_json(value: Any) -> bytes:
    """The value as ASCII JSON without white space; raises `BadResult` for what JSON cannot carry."""
    try:
        builtins = msgspec.to_builtins(value)
        encoded = json.dumps(builtins, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode(
            "ascii"
        )
        if b"\\ud" in encoded:
            # An escaped half of a surrogate pair is ASCII, but no reader has to take it.
            msgspec.json.decode(encoded)
    except (TypeError, ValueError, RecursionError, OverflowError, msgspec.DecodeError) as error:
        raise BadResult(f"The value cannot be encoded as JSON: {type(error).__name__}.") from error
    return encoded


def succeeded(customer_id: str, value: Any, changes: tuple[Change, ...] | UnsetType = UNSET) -> bytes:
    """A succeeded part's outcome, as it stands in the inbox and in the result; a dry run's with `changes`.

    Raises:
        BadResult: the handler's value cannot be JSON or takes more than 64 KiB.
    """
    if len(ascii_json(value)) > RESULT_BYTES_MAXIMUM:
        raise BadResult(f"The handler's result is larger than {RESULT_BYTES_MAXIMUM} bytes.")
    return ascii_json(
        CustomerResult(customer_id=customer_id, status="succeeded", result=value, changes=changes)
    )


def failed(customer_id: str, error: Error) -> bytes:
    """A failed part's outcome, as it stands in the inbox and in the result."""
    return ascii_json(CustomerResult(customer_id=customer_id, status="failed", error=error))


def encode_result(result: Result, outcomes: tuple[bytes, ...] | None = None) -> str:
    """The result as a body for the response queue: ASCII JSON.

    `outcomes`, the stored bytes of each part in the job's order, stand as they are in place of
    `result.customers`, so that the same job and run always gives the same bytes.
    """
    members = {name: ascii_json(value) for name, value in _present(result)}
    if outcomes is not None:
        members["customers"] = b"[" + b",".join(outcomes) + b"]"
    return "{" + ",".join(f'"{name}":{value.decode("ascii")}' for name, value in members.items()) + "}"


def decode_result(body: str | bytes) -> Result:
    """The result in a message's body; raises `BadMessage`, `bad_message`, for anything else."""
    try:
        result = RESULT.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise BadMessage("bad_message", f"The body is no result: {clip(str(error), 500)}.") from error
    if (contradiction := _contradiction(result)) is not None:
        raise BadMessage("bad_message", f"The result contradicts itself: {contradiction}.")
    return result


def _clipped(detail: ErrorDetail) -> ErrorDetail:
    return ErrorDetail(
        row=detail.row,
        column=None if detail.column is None else clip(detail.column, NAME_CHARACTERS_MAXIMUM),
        rule=None if detail.rule is None else clip(detail.rule, NAME_CHARACTERS_MAXIMUM),
    )


def _present(result: Result) -> Iterable[tuple[str, Any]]:
    fields = msgspec.structs.asdict(result)
    return ((name, value) for name, value in fields.items() if value is not UNSET)


def _contradiction(result: Result) -> str | None:
    """The rule that the result's fields break together, if any; the JSON Schema has the same ones."""
    running, rejected = result.status == "running", result.status == "rejected"
    statuses = {customer.status for customer in result.customers}
    for holds, rule in (
        (rejected == (result.error is not UNSET), "a rejected job, and no other, has an error of its own"),
        (running or result.finished_at is not None, "a final result says when it was finished"),
        (running or result.progress is UNSET, "only a running job has progress"),
        (running or result.waiting is UNSET, "only a running job waits"),
        (running or statuses == STATUSES_OF_CUSTOMERS[result.status], "the status is not its customers'"),
        (all(map(_is_whole, result.customers)), "a success has a result, a failure an error, none both"),
        (_tells_no_false_changes(result), "only a dry run's success tells what would change"),
    ):
        if not holds:
            return rule
    return None


def _tells_no_false_changes(result: Result) -> bool:
    telling = [customer for customer in result.customers if customer.changes is not UNSET]
    return not telling or (result.dry_run and all(one.status == "succeeded" for one in telling))


def _is_whole(customer: CustomerResult) -> bool:
    is_success = customer.status == "succeeded"
    return (customer.result is not UNSET) == is_success and (customer.error is UNSET) == is_success
