"""Gives a job's parts their places and their attachments, before they go to the lanes."""

from collections.abc import Callable
from typing import Final

from config.result import Error, error_of
from shards.directory import Placement, PlacementState
from worker.attachments import AttachmentFetcher, FetchedAttachments
from worker.conclusion import Deferral
from worker.job_in_hand import JobInHand, Part
from worker.routing import wait_for

Admit = Callable[[str], Deferral | None]
"""Whether an item for a shard is worth what it costs to prepare; else why not and when to come again."""

NOWHERE: Final = ""
CUSTOMER_GONE: Final = error_of("customer_gone", "The customer no longer exists here.")


def place(part: Part, placement: Placement | None) -> None:
    """Give the part its shard; without one, or when its customer is gone, it can only fail, unrecorded."""
    if placement is None:
        return
    if placement.state is PlacementState.GONE:
        part.refusal = CUSTOMER_GONE
        return
    part.placement = placement
    part.postponed = wait_for(placement)


def provide_files(job: JobInHand, fetcher: AttachmentFetcher, admit: Admit) -> None:
    """Fetch the attachments of the parts that can run; a part whose attachment is not in order is refused.

    Nothing is fetched for a shard that is away, but for its probe: its parts are postponed, unless others of
    the job need the same files anyway.

    Raises:
        AttachmentsUnavailable: they cannot be fetched now.
    """
    parts = [part for part in job.parts if _can_run(part) and part.request.attachments]
    postponed = _postponed_shards(parts, admit)
    wanted = {
        reference.name: reference
        for part in parts
        if _shard_of(part) not in postponed
        for reference in part.request.attachments
    }
    job.held[0].s3_requests += len(wanted)
    job.files = fetcher.fetch(job.job.job_id, list(wanted.values())) if wanted else None
    for part in parts:
        if any(reference.name not in wanted for reference in part.request.attachments):
            part.postponed = postponed[_shard_of(part)]
        part.refusal = _attachment_fault(part, job.files)


def _postponed_shards(parts: list[Part], admit: Admit) -> dict[str, Deferral]:
    answers = {shard: admit(shard) for shard in {_shard_of(part) for part in parts}}
    return {shard: deferral for shard, deferral in answers.items() if deferral is not None}


def _can_run(part: Part) -> bool:
    return part.placement is not None and part.refusal is None and part.postponed is None


def _shard_of(part: Part) -> str:
    return NOWHERE if part.placement is None else part.placement.shard


def _attachment_fault(part: Part, files: FetchedAttachments | None) -> Error | None:
    """The part's failure when one of its attachments is missing or not what the job says."""
    for reference in part.request.attachments:
        fault = files.faults.get(reference.name) if files is not None else None
        if fault is not None:
            return error_of(fault.code, fault.message)
    return None
