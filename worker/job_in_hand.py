"""A job in hand: its parts on their way through the lanes, and each delivery of it that is held here."""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from config.job import PartRequest
from config.result import Error, failed
from handlers.registry import HandlerSpec
from shards.directory import Placement
from shards.inbox import Outcome, PartIdentity
from worker.answers import final_answer
from worker.attachments import FetchedAttachments
from worker.clock import Clock
from worker.conclusion import Answer, Bury, Conclusion, Deferral, Discard, Reason, soonest
from worker.envelope import Envelope, identity_of
from worker.held import Held
from worker.part_feed import PartFeed


@dataclass(eq=False, slots=True)
class Part:
    """One job's work for one customer, and the time it took.

    `refusal` ends the part without its handler: it is recorded as its failure unless an outcome is there.
    A part without a placement can only be refused, and nothing is recorded. `postponed` lets the part wait
    for another delivery while the others go on. `start_counted`: the inbox has a start of it that this
    process made and could not take back, so that its next try here is the same start.
    """

    owner: "JobInHand" = field(repr=False)
    request: PartRequest = field(repr=False)
    identity: PartIdentity
    placement: Placement | None
    refusal: Error | None = None
    postponed: Deferral | None = None
    queued_at: float = 0.0
    lane_wait_seconds: float = 0.0
    database_seconds: float = 0.0
    progress: tuple[int, int | None] | None = None
    start_counted: bool = False

    def note_progress(self, done: int, total: int | None) -> None:
        """What the handler last told of its progress."""
        self.progress = (done, total)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a job is: parts with an outcome, parts in all, and the customers whose shard is away."""

    done: int
    total: int
    waiting: tuple[str, ...]


class Offer(Protocol):
    """Puts a part into its shard's lane; None when it was taken, else why it was not."""

    def __call__(self, part: Part, /) -> Deferral | None:
        """Offer the part to its lane."""
        ...


class JobInHand:
    """Feeds its parts to the lanes, some at a time, gathers their ends, and concludes once.

    Thread-safe: worker threads report parts, the preparer joins copies, the daemon abandons it at a stop.
    `on_concluded` is called exactly once, from the thread that brought the last part, without any lock held.
    """

    def __init__(
        self,
        envelope: Envelope,
        held: Held,
        clock: Clock,
        on_concluded: Callable[["JobInHand", Conclusion], None],
    ) -> None:
        self.job = envelope.job
        self.job_type = envelope.job_type
        self.run = envelope.run
        self.stamps = envelope.stamps
        self.identity = identity_of(envelope)
        self.held = [held]
        self.handler: HandlerSpec | None = None
        self.files: FetchedAttachments | None = None
        self.parts: tuple[Part, ...] = ()
        self.suspect = False
        self.came_before = False
        self._clock = clock
        self._on_concluded = on_concluded
        self._lock = threading.Lock()
        self._left: PartFeed[Part] = PartFeed(_shard_of)
        self._outcomes: dict[int, Outcome] = {}
        self._deferrals: dict[int, Deferral] = {}
        self._verdict: Conclusion | None = None
        self._concluded = False

    @property
    def priority(self) -> int:
        """How urgent its queue is among the request queues; 0 is the most urgent."""
        return self.held[0].priority

    @property
    def lease_lost(self) -> threading.Event:
        """Set when the lease of the delivery that the job came with was lost."""
        return self.held[0].lost

    def standing(self, away: Collection[str]) -> Standing:
        """How far the job is, with the customers that wait in the job's order; `away` names shards."""
        with self._lock:
            ended, deferrals = set(self._outcomes), dict(self._deferrals)

        def waits(part: Part) -> bool:
            deferral = deferrals.get(part.request.part_no)
            if deferral is not None:
                return deferral.code == "shard_away"
            return part.placement is not None and part.placement.shard in away

        unended = (part for part in self.parts if part.request.part_no not in ended)
        waiting = tuple(part.request.customer_id for part in unended if waits(part))
        return Standing(len(ended), len(self.parts), waiting)

    def join(self, held: Held) -> bool:
        """Take another delivery of the same job along; False when the job is concluded already."""
        with self._lock:
            if self._concluded:
                return False
            held.copied = True
            self.held.append(held)
            return True

    def start(self, offer: Offer, held_back: Collection[Part] = ()) -> None:
        """Begin: the parts go to their lanes; those held back do when they are let go, or end before."""
        self._offer = offer
        later = set(held_back)
        with self._lock:
            self._left.hold_back(later)
            self._left.add(part for part in self.parts if part not in later)
        self._feed()

    def let_go(self, parts: Collection[Part]) -> None:
        """Parts that were held back may go to their lanes now."""
        with self._lock:
            self._left.release(parts)
        self._feed()

    def conclude(self, verdict: Conclusion) -> None:
        """End the job with this verdict before its parts started, or when those that did have ended."""
        with self._lock:
            self._verdict = verdict
            self._left.clear()
        self._conclude_if_done()

    def part_ended(self, part: Part, outcome: Outcome) -> None:
        """The part has its outcome."""
        self._note_outcome(part, outcome)
        self._feed()

    def part_deferred(self, part: Part, deferral: Deferral) -> None:
        """The part has no outcome this time; the job is returned when its other parts are done."""
        self._note_deferral(part, deferral)
        self._feed()

    def drops(self) -> bool:
        """Whether a part that comes to its turn is not to start: a verdict ended the job meanwhile."""
        return self._verdict is not None

    def part_dropped(self, part: Part) -> None:
        """The part did not start, as `drops` asked for."""
        with self._lock:
            self._left.end(part)
        self._feed()

    def part_conflicted(self, part: Part, message: str) -> None:
        """Another content came before under this job and customer: no further part starts, no answer."""
        self._end_early(part, Bury(Reason("content_conflict", message)))

    def part_superseded(self, part: Part) -> None:
        """A later run of the job is in the inbox: this delivery is discarded."""
        self._end_early(part, Discard("superseded"))

    def abandon(self, deferral: Deferral) -> None:
        """Start no further part; those that run may end.

        A job that is still prepared is left alone: the lanes, closed by then, take none of its parts.
        """
        with self._lock:
            left = self._left.clear()
            self._deferrals.update((part.request.part_no, deferral) for part in left)
        if left:
            self._conclude_if_done()

    def _end_early(self, part: Part, verdict: Conclusion) -> None:
        with self._lock:
            self._left.end(part)
            self._left.clear()
            # A conflict says that the message is not this job's at all: it outweighs a later run.
            if self._verdict is None or isinstance(verdict, Bury):
                self._verdict = verdict
        self._feed()

    def _feed(self) -> None:
        while (part := self._next_part()) is not None:
            if part.placement is None:
                self._note_unrecorded(part)
                continue
            self._offer_or_defer(part)
        self._conclude_if_done()

    def _offer_or_defer(self, part: Part) -> None:
        try:
            deferral = part.postponed or self._offer(part)
        except BaseException:
            with self._lock:
                self._left.end(part)
            raise
        if deferral is not None:
            self._note_deferral(part, deferral)

    def _note_deferral(self, part: Part, deferral: Deferral) -> None:
        with self._lock:
            if self._left.end(part):
                self._deferrals[part.request.part_no] = deferral

    def _note_outcome(self, part: Part, outcome: Outcome) -> None:
        with self._lock:
            if self._left.end(part):
                self._outcomes[part.request.part_no] = outcome

    def _next_part(self) -> Part | None:
        with self._lock:
            return self._left.next()

    def _note_unrecorded(self, part: Part) -> None:
        error = part.refusal or Error(code="unknown_customer", message="The customer is in no directory.")
        body = failed(part.request.customer_id, error)
        self._note_outcome(part, Outcome("failed", self.run, body, dead_letter=False))

    def _conclude_if_done(self) -> None:
        with self._lock:
            if self._concluded or not self._left.is_done:
                return
            self._concluded = True
        if self.files is not None:
            self.files.close()
        self._on_concluded(self, self._conclusion())

    def _conclusion(self) -> Conclusion:
        if self._verdict is not None:
            return self._verdict
        if self._deferrals:
            return soonest(self._deferrals.values())
        return self._answer()

    def _answer(self) -> Answer:
        outcomes = [self._outcomes[part_no] for part_no in range(len(self.parts))]
        return final_answer(self.identity, outcomes, self.held[0].received_at, self._clock.now())


def _shard_of(part: Part) -> str:
    return "" if part.placement is None else part.placement.shard


def shutdown_deferral() -> Deferral:
    """The worker stops: what did not start is given back at once."""
    return Deferral(timedelta(), "shutdown")
