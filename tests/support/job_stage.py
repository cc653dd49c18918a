"""A job in hand with its parts in a lane that only notes them, moved by hand."""

from collections.abc import Callable, Collection
from datetime import timedelta

from config.job import PartRequest
from config.result import error_of, failed, succeeded
from shards.directory import Placement
from shards.inbox import Outcome
from tests.support.fakes import ManualTime
from tests.support.jobs import envelope_of, held_of, job_fields, placement_of
from worker.conclusion import Answer, Conclusion, Deferral
from worker.job_in_hand import JobInHand, Part
from worker.routing import part_identities

SOON = Deferral(timedelta(seconds=5), "busy")
LATER = Deferral(timedelta(seconds=60), "shard_away")
TAKEN = None


class Stage:
    """A job in hand with its parts in lanes that only note them, and its conclusions.

    Its customers are on so many shards, eu0 and on, those of one shard together.
    """

    def __init__(self, customers: int = 3, answer: Deferral | None = TAKEN, shards: int = 1) -> None:
        self._customers, self._shards = customers, shards
        self.time = ManualTime()
        names = [f"c-{number}" for number in range(customers)]
        self.held = held_of(job_fields(customers=names))
        envelope = envelope_of(self.held)
        self.concluded: list[Conclusion] = []
        self.offered: list[Part] = []
        self.answer = answer
        self.job = JobInHand(envelope, self.held, self.time.clock, lambda _, end: self.concluded.append(end))
        requests = envelope.job.part_requests()
        self.job.parts = tuple(
            Part(self.job, request, identity, self._placement(request))
            for request, identity in zip(requests, part_identities(envelope, requests), strict=True)
        )

    def offer(self, part: Part) -> Deferral | None:
        """The lane."""
        if self.answer is None:
            self.offered.append(part)
        return self.answer

    def start(self, held_back: Collection[Part] = ()) -> None:
        """Let the parts go."""
        self.job.start(self.offer, held_back)

    def end(self, part_no: int, outcome: Outcome | None = None) -> None:
        """A part has its outcome."""
        part = self.job.parts[part_no]
        self.job.part_ended(part, outcome or success(part))

    def _placement(self, request: PartRequest) -> Placement:
        return placement_of(request.customer_id, f"eu{request.part_no * self._shards // self._customers}")


def success(part: Part, value: object = None) -> Outcome:
    return Outcome("succeeded", 1, succeeded(part.request.customer_id, value))


def failure(
    part: Part, code: str = "unique_violation", *, dead_letter: bool = False, attempt: int = 0
) -> Outcome:
    body = failed(part.request.customer_id, error_of(code, "It failed."))
    return Outcome("failed", 1, body, dead_letter, attempt)


def answer_of(stage: Stage) -> Answer:
    (conclusion,) = stage.concluded
    assert isinstance(conclusion, Answer)
    return conclusion


VERDICTS: dict[str, Callable[[Part], None]] = {
    "conflict": lambda part: part.owner.part_conflicted(part, "Other content."),
    "superseded": lambda part: part.owner.part_superseded(part),
    "deferral": lambda part: part.owner.part_deferred(part, SOON),
}
