"""The job as it stands on the request queue: its model and its checks."""

import json
from collections import Counter
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from config import text

RUN_MAXIMUM: Final = 2_147_483_647

JobId = Annotated[str, Meta(pattern=text.JOB_ID)]
PartnerId = Annotated[str, Meta(pattern=text.PARTNER_ID)]
CustomerId = Annotated[str, Meta(pattern=text.CUSTOMER_ID)]
JobType = Annotated[str, Meta(pattern=text.JOB_TYPE)]
CorrelationId = Annotated[str, Meta(pattern=text.CORRELATION_ID)]
Run = Annotated[int, Meta(ge=1, le=RUN_MAXIMUM)]
Timestamp = Annotated[datetime, Meta(tz=True)]


class BadMessage(Exception):
    """A message that is not a job. It goes to the failure queue with `code` and the message as reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class AttachmentReference(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where an attachment lies and what its stored bytes must be."""

    name: Annotated[str, Meta(pattern=text.ATTACHMENT_NAME)]
    bucket: Annotated[str, Meta(min_length=1, max_length=1024)]
    key: Annotated[str, Meta(min_length=1, max_length=1024)]
    size: Annotated[int, Meta(ge=0, le=9_223_372_036_854_775_807)]
    sha256: Annotated[str, Meta(pattern=text.SHA256)]
    version_id: Annotated[str, Meta(min_length=1, max_length=1024)] | None = None
    content_type: Annotated[str, Meta(max_length=255)] | None = None


class CustomerEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One customer of a job, with a payload and a choice of attachments of its own, or none of either."""

    customer_id: CustomerId
    payload: Any = UNSET
    attachments: tuple[str, ...] | UnsetType = UNSET


class SchedulerEntry(Struct, frozen=True, kw_only=True, tag_field="kind", tag="scheduler"):
    """The EventBridge Scheduler entry that sent the job."""

    name: str
    group: str
    trigger_at: Timestamp


class RuleEntry(Struct, frozen=True, kw_only=True, tag_field="kind", tag="rule"):
    """The EventBridge rule that sent the job."""

    name: str
    bus: str
    trigger_at: Timestamp


Schedule = SchedulerEntry | RuleEntry
ScheduleKind = Literal["scheduler", "rule"]


class PartRequest(Struct, frozen=True, kw_only=True):
    """What a job asks for one customer."""

    part_no: int
    customer_id: str
    payload: Any
    attachments: tuple[AttachmentReference, ...]


class Job(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job as it was sent. Fields that the contract does not know are kept in `unknown_fields`."""

    job_id: JobId
    type: JobType
    partner_id: PartnerId
    customers: Annotated[tuple[CustomerId | CustomerEntry, ...], Meta(min_length=1)]
    run: Run = 1
    payload: Any = None
    attachments: tuple[AttachmentReference, ...] = ()
    correlation_id: CorrelationId | None = None
    submitted_at: Timestamp | None = None
    expires_at: Timestamp | None = None
    dry_run: bool = False
    schedule: Schedule | None = None
    unknown_fields: dict[str, Any] = {}

    @property
    def customer_ids(self) -> tuple[str, ...]:
        """The customers' ids in the job's order."""
        return tuple(entry if isinstance(entry, str) else entry.customer_id for entry in self.customers)

    def part_requests(self) -> tuple[PartRequest, ...]:
        """What is asked for each customer, in the job's order: its own payload, or else the shared one."""
        by_name = {attachment.name: attachment for attachment in self.attachments}
        return tuple(
            self._part_request(part_no, entry, by_name) for part_no, entry in enumerate(self.customers)
        )

    def _part_request(
        self, part_no: int, entry: str | CustomerEntry, by_name: dict[str, AttachmentReference]
    ) -> PartRequest:
        if isinstance(entry, str):
            entry = CustomerEntry(customer_id=entry)
        names = tuple(by_name) if entry.attachments is UNSET else entry.attachments
        return PartRequest(
            part_no=part_no,
            customer_id=entry.customer_id,
            payload=self.payload if entry.payload is UNSET else entry.payload,
            attachments=tuple(by_name[name] for name in names),
        )


WIRE_FIELDS: Final = frozenset(Job.__struct_fields__) - {"unknown_fields"}
CONTAINERS: Final = frozenset({dict, list})
DEPTH_MAXIMUM: Final = 100
FAULT_CHARACTERS_MAXIMUM: Final = 500


def _exact_float(literal: str) -> float:
    """The number, if a double keeps it: its shortest form or its 17 digits are the literal's value."""
    number = float(literal)
    if literal != repr(number) and not _is_kept(literal, number):
        raise ValueError("A number has more digits than a double keeps; send it as text")
    return number


def _is_kept(literal: str, number: float) -> bool:
    try:
        value = Decimal(literal)
    except InvalidOperation:
        # An exponent beyond what even a decimal takes.
        return False
    return any(value == Decimal(kept) for kept in (repr(number), f"{number:.17g}"))


EXACT: Final = msgspec.json.Decoder(float_hook=_exact_float)
ROUNDING: Final = msgspec.json.Decoder()
# Builds what msgspec keeps of the model: threads that meet at its first use would end the process (SIGSEGV).
READY: Final = msgspec.json.Decoder(Job)


def read_object(body: str, *, exact: bool = True) -> dict[str, Any]:
    """The body's JSON object; raises `BadMessage` for anything else.

    With `exact`, a number that would be rounded is refused too: an amount must never change on its way.
    """
    try:
        value = (EXACT if exact else ROUNDING).decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise BadMessage("bad_message", f"The body is not JSON: {_told(error)}.") from error
    if not isinstance(value, dict):
        raise BadMessage("bad_message", f"The body is JSON but no object: found {type(value).__name__}.")
    return value


def to_job(fields: dict[str, Any]) -> Job:
    """The job in a decoded JSON object; raises `BadMessage` where a rule of the contract is broken."""
    if _is_deeper(fields, DEPTH_MAXIMUM):
        raise BadMessage("bad_message", f"The job is nested more than {DEPTH_MAXIMUM} levels deep.")
    known = {name: value for name, value in fields.items() if name in WIRE_FIELDS}
    try:
        job = msgspec.convert(known, Job)
    except msgspec.ValidationError as error:
        raise BadMessage("bad_message", f"A field does not have its form: {_told(error)}.") from error
    _check_customers(job)
    _check_attachments(job)
    unknown = {name: value for name, value in fields.items() if name not in WIRE_FIELDS}
    return msgspec.structs.replace(job, unknown_fields=unknown) if unknown else job


def decode_job(body: str) -> Job:
    """The job in a message's body; raises `BadMessage`."""
    return to_job(read_object(body))


def encode_job(job: Job) -> str:
    """The job as a body for the request queue, ASCII JSON, its unknown fields beside the known ones."""
    fields = msgspec.to_builtins(job)
    unknown = fields.pop("unknown_fields", {})
    return json.dumps({**unknown, **fields}, separators=(",", ":"))


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects lie in each other more than `levels` deep.

    Without a limit of our own, a payload that could be decoded could still be too deep for the digest or
    for a handler: Python's recursion limit counts what is on the stack at that moment.
    """
    level = [value]
    for _ in range(levels):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in CONTAINERS
        ]
        if not level:
            return False
    return True


def _told(error: Exception) -> str:
    # It can quote a `kind` of any length; it never quotes a payload.
    return text.clip(str(error), FAULT_CHARACTERS_MAXIMUM)


def _check_customers(job: Job) -> None:
    repeated = [customer for customer, times in Counter(job.customer_ids).items() if times > 1]
    if repeated:
        raise BadMessage(
            "duplicate_customer", f"The customer {repeated[0]!r} stands in the job more than once."
        )


def _check_attachments(job: Job) -> None:
    names = [attachment.name for attachment in job.attachments]
    if len(set(names)) < len(names):
        raise BadMessage("duplicate_attachment", "Two attachments of the job have the same name.")
    for entry in job.customers:
        if isinstance(entry, str) or entry.attachments is UNSET:
            continue
        if not set(entry.attachments) <= set(names) or len(set(entry.attachments)) < len(entry.attachments):
            raise BadMessage(
                "unknown_attachment",
                f"The customer {entry.customer_id!r} names an attachment twice, or one that is not listed.",
            )
