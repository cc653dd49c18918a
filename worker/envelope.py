"""The envelope: a delivery decoded, with its headers; and what can be read of one that is no job."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from config.headers import TYPE_HEADER, OwnHeader, first_sent, read_headers, read_own_header, unfolded
from config.job import BadMessage, Job, JobId, JobType, PartnerId, Run, read_object, to_job
from config.job import CorrelationId as CorrelationIdType
from config.job import CustomerId as CustomerIdType
from config.stamps import NO_STAMPS, Stamps
from config.symfony import Symfony
from worker.held import Held
from worker.signing import read_signature
from worker.signing_jobs import Believed, JobSignatures, Received
from worker.symfony.php_bodies import REASON, is_php_serialized
from worker.symfony.reading import Read, UnknownClass, faultless, origin, read_fields
from worker.trace import Trace, trace_of

CLOCK_SKEW_MAXIMUM: Final = timedelta(minutes=5)
"""By how much the clock of whoever wrote a header may be ahead of this machine's."""

RETRY_TIMES: Final = ("retried_at", "renewed_at")


@dataclass(frozen=True, slots=True)
class Envelope:
    """A job with what its headers say: the run, the type and when it was first sent.

    `sent_at` is this message's own time of sending, `own` what of our header can be true at its receive,
    `issued_at` from when the message is by its signature.
    """

    job: Job
    job_type: str
    run: int
    own: OwnHeader
    first_sent_at: datetime
    sent_at: datetime
    trace: Trace | None = None
    trace_header: str | None = None
    stamps: Stamps = NO_STAMPS
    issued_at: datetime | None = None

    @property
    def retry_count(self) -> int:
        """How often Symfony has retried the message; none of it is an attempt of ours."""
        return self.stamps.retry_count

    @property
    def born_at(self) -> datetime:
        """The earliest moment that a copy of the job can have run; an operator may have set it anew."""
        if self.own.renewed_at is not None:
            return self.own.renewed_at
        if self.job.schedule:
            return min(self.first_sent_at, self.job.schedule.trigger_at)
        told = (self.first_sent_at, self.job.submitted_at, self.issued_at)
        return min(moment for moment in told if moment is not None)

    @property
    def asked_at(self) -> datetime:
        """When somebody last asked for the job to be run: it was sent, or deliberately retried."""
        return self.own.retried_at or self.first_sent_at


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is to be answered when a message is refused, and whose inbox rows are looked at first."""

    job_id: str
    run: int
    partner_id: str
    job_type: str | None
    correlation_id: str | None
    dry_run: bool
    customer_ids: tuple[str, ...]
    trace: Trace | None = None
    trace_header: str | None = None

    @property
    def log_names(self) -> dict[str, str]:
        """What each line of the log about the job names."""
        return {"job": self.job_id} | ({} if self.trace is None else {"trace_id": self.trace.trace_id})


def open_envelope(
    body: str, held: Held, symfony: Symfony, signatures: JobSignatures | None = None
) -> Envelope:
    """The envelope of a delivery, whose body may have come by claim check.

    Without `signatures` none is verified: who only looks at messages has no keys.

    Raises:
        BadSignature: it must be signed, and is not, or not right.
        UnknownClass: it is a message of Symfony's, of a class that no job type is configured for.
        BadMessage: it is no job.
    """
    attributes = held.delivery.headers
    found = read_own_header(attributes)
    headers = unfolded(attributes, found)
    read, believed = _verified(Received(body, headers, found, {}), attributes, symfony, signatures)
    job = _job(read, headers.get(TYPE_HEADER), symfony)
    own = _believable(believed.own, held, may_wait=job.dry_run or not held.source.is_ordered)
    signature = read_signature(own.signature)
    return Envelope(
        job=job,
        job_type=job.type,
        run=own.run or job.run,
        own=own,
        first_sent_at=first_sent(own, held.delivery.sent_at),
        sent_at=held.delivery.sent_at,
        trace=trace_of(held.delivery),
        trace_header=held.delivery.trace_header,
        stamps=(Stamps.read(headers) if believed.stamps else None) or NO_STAMPS,
        issued_at=None if signature is None else signature.issued_at,
    )


def asked_at(held: Held) -> datetime:
    """When somebody last asked for what is in the message, whether it is a job or not."""
    own = _believable(read_own_header(held.delivery.headers), held, may_wait=False)
    return own.retried_at or first_sent(own, held.delivery.sent_at)


def identity_of(envelope: Envelope) -> Identity:
    """The identity of a message that is a job."""
    job = envelope.job
    return Identity(
        job.job_id,
        envelope.run,
        job.partner_id,
        envelope.job_type,
        job.correlation_id,
        job.dry_run,
        job.customer_ids,
        envelope.trace,
        envelope.trace_header,
    )


def readable_identity(body: str, held: Held, symfony: Symfony) -> Identity | None:
    """What can be read of a message that is no job; None where job id or partner cannot be."""
    fields = readable_fields(body, held.delivery.headers, symfony)
    job_id, partner_id = _read(fields.get("job_id"), JobId), _read(fields.get("partner_id"), PartnerId)
    if job_id is None or partner_id is None:
        return None
    return Identity(
        job_id,
        read_own_header(held.delivery.headers).run or _read(fields.get("run"), Run) or 1,
        partner_id,
        _read(fields.get("type"), JobType),
        _read(fields.get("correlation_id"), CorrelationIdType),
        fields.get("dry_run") is True,
        _readable_customers(fields.get("customers")),
        trace_of(held.delivery),
        held.delivery.trace_header,
    )


def readable_fields(body: str, attributes: Mapping[str, str], symfony: Symfony) -> dict[str, Any]:
    """A body's fields by the names that a job's have, as far as they can be told; never raises."""
    try:
        fields = read_object(body, exact=False)
    except BadMessage:
        return {}
    class_name = read_headers(attributes).get(TYPE_HEADER)
    return fields if class_name is None else read_fields(fields, class_name, symfony).fields


def _fields(body: str) -> dict[str, Any]:
    try:
        return read_object(body)
    except BadMessage:
        if is_php_serialized(body):
            raise BadMessage("php_serialized", REASON) from None
        raise


def _verified(
    received: Received, attributes: Mapping[str, str], symfony: Symfony, signatures: JobSignatures | None
) -> tuple[Read, Believed]:
    """The body's fields, by the names that a job's have, and what of the headers is believed."""

    def believed(fields: dict[str, Any]) -> Believed:
        if signatures is None:
            return Believed(received.own, stamps=True)
        return signatures.check(received._replace(fields=fields))

    try:
        read = _read_body(received.body, received.headers.get(TYPE_HEADER), symfony)
    except BadMessage:
        # Who may not be believed is not told what is wrong with a body either.
        believed(readable_fields(received.body, attributes, symfony))
        raise
    return read, believed(read.fields)


def _read_body(body: str, class_name: str | None, symfony: Symfony) -> Read:
    fields = _fields(body)
    return Read(fields, {}) if class_name is None else read_fields(fields, class_name, symfony)


def _job(read: Read, class_name: str | None, symfony: Symfony) -> Job:
    if class_name is None:
        return to_job(read.fields)
    try:
        return to_job(faultless(read, class_name))
    except BadMessage as error:
        if isinstance(error, UnknownClass) or not symfony.reads_messages:
            raise
        raise BadMessage(error.code, f"{error} {origin(class_name)}") from error


def _believable(own: OwnHeader, held: Held, *, may_wait: bool) -> OwnHeader:
    """The header without what cannot be true: whoever sends a message can write our attribute too.

    That are retries from the future; and a moment to wait for, unless the message is one that a worker may
    have sent anew: on an ordered queue none is but a dry run, and what waits there holds its group.
    """
    latest = held.received_at + CLOCK_SKEW_MAXIMUM
    untrue = {name: None for name in RETRY_TIMES if (getattr(own, name) or latest) > latest}
    if own.not_before is not None and not may_wait:
        untrue["not_before"] = None
    return msgspec.structs.replace(own, **untrue) if untrue else own


def _readable_customers(entries: Any) -> tuple[str, ...]:
    if not isinstance(entries, list):
        return ()
    named = (entry.get("customer_id") if isinstance(entry, dict) else entry for entry in entries)
    readable = (_read(name, CustomerIdType) for name in named)
    return tuple(dict.fromkeys(name for name in readable if name is not None))


def _read(value: Any, form: Any) -> Any:
    try:
        return msgspec.convert(value, form)
    except msgspec.ValidationError:
        return None
