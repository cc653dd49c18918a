"""A job that is refused as a whole: first its inbox rows are looked up, for what came before wins."""

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol

import structlog

from config.result import Result, encode_result, error_of
from shards.directory import Placement
from shards.engines import Shards
from worker.clock import Clock
from worker.conclusion import Answer, Deferral, Reason
from worker.envelope import Identity
from worker.held import Held
from worker.tasks import LookUp, Task

log = structlog.get_logger()


class Refuse(Exception):
    """The job as a whole is refused with `code`, unless the inbox knows it already."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class OfferTask(Protocol):
    """Puts a task into its shard's lane; None when it was taken, else why not and when to come again."""

    def __call__(self, shard: str, task: Task, /) -> Deferral | None:
        """Offer the task to the lane."""
        ...


class InboxInquiry:
    """Asks the inbox of every shard and schema of a job, one query each, whether it knows the job.

    `on_known` is called once, when all have answered: True if any row was found, else False; a `Deferral`
    if a shard could not be asked.
    """

    def __init__(
        self,
        shards: Shards,
        identity: Identity,
        placements: Sequence[Placement],
        on_known: Callable[[bool | Deferral], None],
    ) -> None:
        self._job_id = identity.job_id
        self._on_known = on_known
        self._lock = threading.Lock()
        self._found = False
        self._deferral: Deferral | None = None
        self._tasks = [LookUp(shards, identity, there, self._note) for there in _by_place(placements)]
        self._left = len(self._tasks)

    def start(self, offer: OfferTask) -> None:
        """Put the questions into the shards' lanes; without any shard, nothing is known.

        Never raises: what cannot be asked is a `Deferral`, for `on_known` is called once, whatever happens.
        """
        if not self._tasks:
            self._on_known(False)
        for task in self._tasks:
            deferral = self._offered(offer, task)
            if deferral is not None:
                task.give_back(deferral)

    def _offered(self, offer: OfferTask, task: LookUp) -> Deferral | None:
        try:
            return offer(task.shard_name, task)
        except Exception:
            log.exception("intake.failed", job=self._job_id)
            return Deferral(timedelta(), "internal_error")

    def _note(self, answer: bool | Deferral) -> None:  # noqa: FBT001 - the answer itself
        with self._lock:
            if isinstance(answer, Deferral):
                self._deferral = answer
            else:
                self._found = self._found or answer
            self._left -= 1
            complete = self._left == 0
        if complete:
            self._on_known(self._deferral or self._found)


def rejected(identity: Identity, held: Held, refusal: Refuse, clock: Clock) -> Answer:
    """The answer to a job that was refused before anything ran; its message goes to the failure queue too."""
    error = error_of(refusal.code, str(refusal))
    result = Result(
        job_id=identity.job_id,
        run=identity.run,
        type=identity.job_type,
        partner_id=identity.partner_id,
        correlation_id=identity.correlation_id,
        dry_run=identity.dry_run,
        status="rejected",
        customers=(),
        received_at=held.received_at,
        finished_at=clock.now(),
        error=error,
    )
    return Answer("rejected", encode_result(result), Reason(refusal.code, error.message))


def _by_place(placements: Sequence[Placement]) -> list[list[Placement]]:
    places: dict[tuple[str, str | None], list[Placement]] = defaultdict(list)
    for placement in placements:
        places[placement.shard, placement.schema].append(placement)
    return list(places.values())
