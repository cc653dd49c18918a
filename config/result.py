"""The result as it stands on the response queue: its model and its encoding."""

import json
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from config.job import CorrelationId, CustomerId, JobId, JobType, PartnerId, Run, Timestamp

DETAILS_MAXIMUM: Final = 100
WAITING_MAXIMUM: Final = 100
RESULT_BYTES_MAXIMUM: Final = 64 * 1024

Status = Literal["running", "succeeded", "partial", "failed", "rejected"]


class BadResult(Exception):
    """A handler's return value that cannot be a result."""


class ErrorDetail(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where in the input an error lies: never the value itself."""

    row: int | None = None
    column: str | None = None
    rule: str | None = None


class Error(Struct, frozen=True, kw_only=True):
    """Why a job or a part failed. `message` names the column and the rule, never a value."""

    code: Annotated[str, Meta(min_length=1, max_length=64)]
    message: Annotated[str, Meta(max_length=1000)]
    retryable: bool = False
    details: Annotated[tuple[ErrorDetail, ...], Meta(max_length=DETAILS_MAXIMUM)] = ()


class CustomerResult(Struct, frozen=True, kw_only=True):
    """What became of one customer's part."""

    customer_id: CustomerId
    status: Literal["succeeded", "failed"]
    result: Any = UNSET
    error: Error | UnsetType = UNSET


class Progress(Struct, frozen=True, kw_only=True):
    """How many of a running job's parts are done."""

    done: int
    total: int


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


def ascii_json(value: Any) -> bytes:
    """The value as ASCII JSON without white space; raises `BadResult` for what JSON cannot carry."""
    try:
        builtins = msgspec.to_builtins(value)
        return json.dumps(builtins, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise BadResult(f"The value cannot be encoded as JSON: {type(error).__name__}.") from error


def succeeded(customer_id: str, value: Any) -> bytes:
    """A succeeded part's outcome, as it stands in the inbox and in the result.

    Raises:
        BadResult: the handler's value cannot be JSON or takes more than 64 KiB.
    """
    if len(ascii_json(value)) > RESULT_BYTES_MAXIMUM:
        raise BadResult(f"The handler's result is larger than {RESULT_BYTES_MAXIMUM} bytes.")
    return ascii_json(CustomerResult(customer_id=customer_id, status="succeeded", result=value))


def failed(customer_id: str, error: Error) -> bytes:
    """A failed part's outcome, as it stands in the inbox and in the result."""
    return ascii_json(CustomerResult(customer_id=customer_id, status="failed", error=error))


def encode_result(result: Result, outcomes: tuple[bytes, ...] | None = None) -> str:
    """The result as a body for the response queue: ASCII JSON.

    `outcomes`, the stored bytes of each part in the job's order, stand as they are in place of
    `result.customers`, so that the same job and run always gives the same bytes.
    """
    if outcomes is None:
        return ascii_json(result).decode("ascii")
    head, tail = ascii_json(msgspec.structs.replace(result, customers=())).decode("ascii").split('"customers":[]')
    return f'{head}"customers":[{b",".join(outcomes).decode("ascii")}]{tail}'


def decode_result(body: str) -> Result:
    """The result in a message's body; raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
    return msgspec.json.decode(body, type=Result)
