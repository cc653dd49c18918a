"""A job that is refused as a whole: first its inbox rows are looked up, for what came before wins."""

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog

from shards.directory import Placement
from shards.engines import Shards
from shards.inbox import InboxRow
from worker.conclusion import Deferral
from worker.envelope import Identity
from worker.held import Held
from worker.inbox_look import LookUp, OfferTask, Rows, by_place

log = structlog.get_logger()


class Refuse(Exception):
    """The job as a whole is refused with `code`, unless the inbox knows it already."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class InboxInquiry:
    """Asks the inbox of every shard and schema of a job, one query each, whether it knows the job.

    `held` is the delivery that the job came with.

    `on_known` is called once, when all have answered: with the rows that were found, by customer, or with a
    `Deferral` if a shard could not be asked.
    """

    def __init__(
        self,
        shards: Shards,
        identity: Identity,
        placements: Sequence[Placement],
        on_known: Callable[[Rows | Deferral], None],
        held: Held,
    ) -> None:
        self._log_names = identity.log_names
        self._on_known = on_known
        self._lock = threading.Lock()
        self._found: dict[str, InboxRow] = {}
        self._deferral: Deferral | None = None
        self._tasks = [
            LookUp(shards, identity, identity.job_id, there, self._note, held)
            for there in by_place(placements)
        ]
        self._left = len(self._tasks)

    def start(self, offer: OfferTask) -> None:
        """Put the questions into the shards' lanes; without any shard, nothing is known.

        Never raises: what cannot be asked is a `Deferral`, for `on_known` is called once, whatever happens.
        """
        if not self._tasks:
            self._on_known({})
        for task in self._tasks:
            deferral = self._offered(offer, task)
            if deferral is not None:
                task.give_back(deferral)

    def _offered(self, offer: OfferTask, task: LookUp) -> Deferral | None:
        try:
            return offer(task.shard_name, task)
        except Exception:
            log.exception("intake.failed", **self._log_names)
            return Deferral(timedelta(), "internal_error")

    def _note(self, answer: Rows | Deferral) -> None:
        with self._lock:
            if isinstance(answer, Deferral):
                self._deferral = answer
            else:
                self._found.update(answer)
            self._left -= 1
            complete = self._left == 0
        if complete:
            self._on_known(self._deferral or self._found)
