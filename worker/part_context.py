"""What a part's handler is given beside its payload."""

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import Connection

from handlers.beside import OpenBeside, open_nowhere
from handlers.contract import LocalAttachment, PartContext
from worker.job_in_hand import Part
from worker.logs import handler_logger


def part_context(
    part: Part, connection: Connection, timeout: timedelta, clock: Callable[[], float]
) -> PartContext:
    """The context of a part that is on its shard, whose handler may take so long from now."""
    assert part.placement is not None  # noqa: S101 - parts without a placement never reach a lane
    owner = part.owner
    return PartContext(
        connection=connection,
        attachments=_attachments(part),
        log=handler_logger(**owner.identity.log_names, customer=part.request.customer_id),
        job=owner.job,
        job_type=owner.job_type,
        customer_id=part.request.customer_id,
        placement=part.placement,
        lease_lost=owner.lease_lost,
        report_progress=part.note_progress,
        deadline=clock() + timeout.total_seconds(),
        clock=clock,
        stamps=owner.stamps,
        open_beside=_beside(part),
    )


def _attachments(part: Part) -> dict[str, LocalAttachment]:
    files = part.owner.files
    if files is None:
        return {}
    return {reference.name: files.files[reference.name] for reference in part.request.attachments}


def _beside(part: Part) -> OpenBeside:
    files = part.owner.files
    if files is None or files.beside is None:
        return open_nowhere
    maker = f"{part.owner.job.job_id}.{part.owner.run}.{part.request.customer_id}"
    references = {reference.name: reference for reference in part.request.attachments}
    return files.beside.opener(part.owner.job.partner_id, maker, references)
