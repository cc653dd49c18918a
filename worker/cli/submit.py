"""`shardworker submit`: put jobs on the request queue, with their attachments in the first allowed bucket."""

import hashlib
import mimetypes
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple
from uuid import uuid4

import typer

from config.job import BadMessage, Job, encode_job, read_object, to_job
from config.settings import Settings
from worker.claim_check import offload
from worker.cli.common import ConfigOption, open_queue, open_settings, open_store, to_duration
from worker.cli.errors import CommandError
from worker.clock import Clock
from worker.ordering import submitted
from worker.signing_jobs import JobSignatures
from worker.symfony.reading import job_fields
from worker.transports.base import Message, Transport
from worker.transports.limits import message_size

BATCH: Final = 100


class Upload(NamedTuple):
    """A file to put under a key before the job that names it is sent."""

    key: str
    data: bytes


class Form(NamedTuple):
    """What the file holds: jobs, or Symfony's messages of a class."""

    settings: Settings
    class_name: str | None
    dry_run: bool

    def read(self, text: str) -> dict[str, Any]:
        """A job's fields, by the names that they have there; raises `BadMessage`."""
        fields = read_object(text)
        if self.class_name is not None:
            fields = job_fields(fields, self.class_name, self.settings.symfony)
        return {**fields, "dry_run": True} if self.dry_run else fields


def submit(  # noqa: PLR0913 - each is an option of the command
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A file with the job as JSON; - for standard input.")
    ],
    *,
    config: ConfigOption = None,
    attach: Annotated[
        list[str] | None,
        typer.Option(
            "--attach",
            metavar="[NAME=]PATH",
            help="Attach a file, under its own or this name; can be repeated.",
        ),
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="The file holds several jobs, one per line.")
    ] = False,
    class_name: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="CLASS",
            help="Read the file as a Symfony message of this class, as [symfony] says.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only ask what would happen: nothing is changed, the result says what would have been.",
        ),
    ] = False,
    delay: Annotated[
        timedelta,
        typer.Option(
            parser=to_duration,
            metavar="DURATION",
            show_default=False,
            help="Let the queue hold the job back; SQS: up to 15m, FIFO queues: not at all.",
        ),
    ] = timedelta(),
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            metavar="GROUP",
            show_default=False,
            help="The group whose order a FIFO queue keeps; without it the partner's id.",
        ),
    ] = None,
) -> None:
    """Check a job and put it on the request queue; prints its job id.

    Mirrors `$bus->dispatch()`: Symfony has no command for it.

    The job needs `type`, `partner_id` and `customers`; a missing `job_id` is made up. Attachments are stored
    in the first bucket of [attachments] buckets, under PARTNER/JOB_ID/NAME. Several request queues: the
    first one gets the job.

    Example: echo '{"type": "orders.insert", "partner_id": "acme", "customers": ["c-1"],
    "payload": {"rows": []}}' | shardworker submit -
    """
    settings = open_settings(config).settings
    files = [_named_path(value) for value in attach or ()]
    if lines and files:
        raise typer.BadParameter("--attach works with one job; leave out --lines.")
    text = _read(file)
    form = Form(settings, class_name, dry_run)
    prepared = _prepare_lines(form, text) if lines else [_prepare(form, text, files)]
    signatures = JobSignatures(settings.signing, settings.symfony)
    with open_queue(settings.queues.request[0], settings) as queue:
        if delay and queue.is_ordered:
            raise CommandError(
                f"{queue.name} is a FIFO queue, which takes no message with a delay. Nothing was sent. "
                "Leave out --delay, or send the job to a standard queue."
            )
        messages = [
            submitted(
                queue, replace(_message(settings, signatures, queue, job, uploads), delay=delay), job, group
            )
            for job, uploads in prepared
        ]
        _send(queue, [job for job, _ in prepared], messages)


def _prepare_lines(form: Form, text: str) -> list[tuple[Job, list[Upload]]]:
    """A job for each line that is not empty; raises `CommandError` with the number of the first bad one."""
    prepared = []
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            prepared += [_prepare(form, line, [])] if line.strip() else []
        except BadMessage as error:
            raise CommandError(f"Line {number}: {error} Nothing was sent.") from error
    return prepared


def _prepare(form: Form, text: str, files: list[tuple[str, Path]]) -> tuple[Job, list[Upload]]:
    """The checked job, its attachments among its fields, and what is to be uploaded for it."""
    fields = {"job_id": uuid4().hex, **form.read(text)}
    to_job(fields)
    uploads = []
    for name, path in files:
        upload, reference = _attachment(form.settings, fields, name, path)
        uploads.append(upload)
        fields["attachments"] = [*fields.get("attachments", ()), reference]
    return to_job(fields), uploads


def _attachment(
    settings: Settings, fields: dict[str, Any], name: str, path: Path
) -> tuple[Upload, dict[str, Any]]:
    if not settings.attachments.buckets:
        raise CommandError("There is no bucket for attachments: name one in [attachments] buckets.")
    data = _bytes(path)
    if len(data) > settings.attachments.max_size:
        raise CommandError(
            f"{path} has {len(data)} bytes; [attachments] max_size is {settings.attachments.max_size}."
        )
    key = f"{fields['partner_id']}/{fields['job_id']}/{name}"
    reference = {
        "name": name,
        "bucket": settings.attachments.buckets[0],
        "key": key,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "content_type": mimetypes.guess_type(name)[0],
    }
    return Upload(key, data), reference


def _message(
    settings: Settings, signatures: JobSignatures, queue: Transport, job: Job, uploads: list[Upload]
) -> Message:
    """The message for a job, after its files have been stored; by claim check where it is too large."""
    body = encode_job(job)
    attributes = signatures.sign_job(job.type, body, int(Clock().now().timestamp()))
    message = Message(body, attributes, group=job.partner_id)
    too_large = message_size(message) > queue.message_bytes_maximum
    bucket = settings.queues.claim_check_bucket
    if too_large and bucket is None:
        raise CommandError(
            f"Job {job.job_id} has {message_size(message)} bytes, more than {queue.name} takes. "
            "Name a bucket in [queues] claim_check_bucket, or attach the rows as a file."
        )
    if not uploads and not too_large:
        return message
    with open_store(settings) as store:
        for upload in uploads:
            store.put(settings.attachments.buckets[0], upload.key, upload.data)
        if not too_large or bucket is None:
            return message
        # the real job may follow while the dry run still waits for its turn
        name = f"{job.run}.dry" if job.dry_run else str(job.run)
        pointer = offload(body, store, bucket, f"requests/{job.job_id}/{name}.json")
    return replace(message, body=pointer.body, attributes={**message.attributes, **pointer.attributes})


def _send(queue: Transport, jobs: list[Job], messages: list[Message]) -> None:
    """Send in batches, printing the id of each accepted job; raises `CommandError` if any was not."""
    refused = []
    for start in range(0, len(messages), BATCH):
        faults = queue.send(messages[start : start + BATCH])
        for position, job in enumerate(jobs[start : start + BATCH]):
            if position in faults:
                refused.append(
                    f"Job {job.job_id} was not accepted by {queue.name}: {faults[position].message}"
                )
            else:
                typer.echo(job.job_id)
    if refused:
        raise CommandError("\n".join(refused))


def _named_path(value: str) -> tuple[str, Path]:
    """`NAME=PATH` or `PATH`; a file whose own name holds an equals sign is taken as it is."""
    name, separator, path = value.partition("=")
    if separator and not Path(value).exists():
        return name, Path(path)
    return Path(value).name, Path(value)


def _read(file: str) -> str:
    data = sys.stdin.buffer.read() if file == "-" else _bytes(Path(file))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CommandError(f"{file} is no UTF-8 text: byte {error.start} cannot be read.") from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
