"""What our messages are on an ordered queue: the group that they keep the order of, and the id of a repeat.

Other queues know no deduplication id, and their groups say who is to be served fairly: there a message stays
as it is.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID, uuid4

from config.job import Job, encode_job
from worker.envelope import Identity
from worker.transports.base import Message, Transport

REFUSED: Final = "rejected"
DIGEST_CHARACTERS: Final = 32


def final_result(queue: Transport, message: Message, identity: Identity, status: str) -> Message:
    """The final result of a job and run: its repeat after a crash is dropped; `rejected` is another one."""
    kind = REFUSED if status == REFUSED else "final"
    return _result(queue, message, identity, lambda: kind)


def repeated_result(
    queue: Transport, message: Message, identity: Identity, make_id: Callable[[], UUID] = uuid4
) -> Message:
    """A final result that is sent once more on purpose: it gets through at once, however often."""
    return _result(queue, message, identity, lambda: f"again:{make_id().hex}")


def running_result(
    queue: Transport, message: Message, identity: Identity, done: int, waiting: Sequence[str]
) -> Message:
    """A result of a job under way, of which so many parts are done: told once, of however many deliveries.

    That other customers wait than before is news, though nothing was done meanwhile.
    """
    return _result(queue, message, identity, lambda: f"done:{done}{_suffix(*waiting) if waiting else ''}")


def submitted(queue: Transport, message: Message, job: Job, group: str | None) -> Message:
    """A job as `submit` sends it: in its group, by default the partner's; the same job twice is one.

    One that was corrected has the same job id and run, and is another: dropped, it would be lost unseen.
    """
    message = message if group is None else replace(message, group=group)
    if not queue.is_ordered:
        return message
    run_id = _run_id(job.job_id, job.run, dry_run=job.dry_run)
    return replace(message, deduplication_id=f"{run_id}{_suffix(encode_job(job))}")


def repeat_id(kind: str, *origin: str) -> str:
    """The deduplication id of what is written anew of one message: a dead letter, a retry."""
    return _digest(kind, *origin)


def _suffix(*content: str) -> str:
    return f":{_digest(*content)[:DIGEST_CHARACTERS]}"


def _digest(*content: str) -> str:
    return hashlib.sha256("\n".join(content).encode()).hexdigest()


def _result(queue: Transport, message: Message, identity: Identity, kind: Callable[[], str]) -> Message:
    if not queue.is_ordered:
        return message
    run_id = _run_id(identity.job_id, identity.run, dry_run=identity.dry_run)
    return replace(message, group=identity.job_id, deduplication_id=f"{run_id}:{kind()}")


def _run_id(job_id: str, run: int, *, dry_run: bool) -> str:
    """A dry run has an id of its own: its repeat must not swallow the real one, nor the other way round."""
    return f"{job_id}:{run}:dry" if dry_run else f"{job_id}:{run}"
