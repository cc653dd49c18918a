"""Exits: deliveries on their way out, acked or released in batches, then forgotten; each has a line."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

import structlog

from worker.batcher import BATCH_SIZE, Batcher, Pace
from worker.clock import Clock
from worker.conclusion import Answer, Bury, Conclusion, Discard, Reason, Return
from worker.facts import Facts, canonical_line
from worker.groups import Groups
from worker.held import Held, Room, charge
from worker.leases import Leases
from worker.resending import Resender, held_for
from worker.transports.base import Fault, Faults, Transport, TransportError
from worker.waits import release_delay

FAILED: Final = frozenset({"failed", "rejected", "unanswered"})
RELEASE_LINGER_SECONDS: Final = 0.02
STUCK_MAXIMUM: Final = BATCH_SIZE // 2
"""Of a batch of acks: those on a queue that is away must not hold up the acks on another."""

AT_ONCE: Final = Pace(RELEASE_LINGER_SECONDS, lambda: False)

NoteDelivery = Callable[[str, dict[str, Any]], None]
"""Is told event and fields of the line of a delivery that is out of hand."""

log = structlog.get_logger()


@dataclass(eq=False, slots=True)
class Settlement:
    """A concluded job on its way out, with every delivery of it that this process holds."""

    held: list[Held]
    conclusion: Conclusion
    facts: Facts = field(repr=False)

    @property
    def dead_letter(self) -> Reason | None:
        """The reason of the dead letter that is due, if one is."""
        return self.conclusion.dead_letter if isinstance(self.conclusion, Answer | Bury) else None

    @property
    def is_kept(self) -> bool:
        """Whether the inbox knows how the job ended: of one that was refused, it knows nothing.

        Nor does it of a customer that is nowhere.
        """
        conclusion = self.conclusion
        if isinstance(conclusion, Answer) and conclusion.status != "rejected":
            return all(part.placement is not None for part in self.facts.parts)
        return isinstance(conclusion, Discard)


@dataclass(frozen=True, slots=True)
class Exit:
    """One delivery on its way out: acked, or released after a delay. `resent`: acked for its copy waits."""

    held: Held
    settlement: Settlement
    resent: bool = False

    @property
    def wait(self) -> timedelta:
        """How long the message has to wait before it comes again."""
        conclusion = self.settlement.conclusion
        return conclusion.after if isinstance(conclusion, Return) else timedelta()


class Exits:
    """The ways out of the process, for each delivery by itself; `acks` and `releases` have a thread each.

    A delivery whose lease was lost is neither acked nor released. What no release can carry is sent anew, and
    acked when the copy is accepted: whoever dies in between leaves two copies, which the inbox makes one.
    """

    def __init__(
        self,
        resender: Resender,
        leases: Leases,
        room: Room,
        clock: Clock,
        ack_linger: timedelta,
        note_delivery: NoteDelivery,
    ) -> None:
        self._resender = resender
        self._leases = leases
        self._room = room
        self._clock = clock
        self._note_delivery = note_delivery
        self.groups = Groups()
        self._lock = threading.Lock()
        self._leaving = 0
        ack_pace = Pace(ack_linger.total_seconds(), lambda: True)
        self.acks: Batcher[Exit] = Batcher(self._ack, ack_pace, clock, _priority_of_exit, STUCK_MAXIMUM)
        self.releases: Batcher[Exit] = Batcher(self._release, AT_ONCE, clock, _priority_of_exit)

    @property
    def leaving(self) -> int:
        """How many deliveries are concluded and not yet out of hand."""
        return self._leaving

    def expect(self, settlement: Settlement) -> None:
        """The job is concluded: its deliveries will be acked or released."""
        with self._lock:
            self._leaving += len(settlement.held)

    def ack(self, settlement: Settlement) -> None:
        """Ack each delivery of the job; never waits.

        What the inbox keeps is done with now: were the ack to fail, the repeat would change nothing, and the
        next one of the group need not wait for it.
        """
        _put_each(self.acks, settlement)
        ordered = _ordered(settlement)
        if ordered and settlement.is_kept:
            for held in ordered:
                self.groups.settled(held)

    def release(self, settlement: Settlement) -> None:
        """Let each delivery of the job come again after the delay of its `Return`; never waits."""
        for held in _ordered(settlement):
            self.groups.broken(held)
        _put_each(self.releases, settlement)

    def _ack(self, batch: list[Exit]) -> list[Exit]:
        return self._part_with(batch, settled=True, call=_ack_all)

    def _release(self, batch: list[Exit]) -> list[Exit]:
        kept = self._without_lost(batch)
        resent = self._resend(kept)
        for one in kept:
            if one.held in resent:
                self.acks.put(replace(one, resent=True))
        rest = [one for one in kept if one.held not in resent]
        return self._part_with(rest, settled=False, call=self._release_all)

    def _resend(self, batch: list[Exit]) -> set[Held]:
        resent: set[Held] = set()
        for source, exits in _by_source(batch).items():
            resent |= self._resender.resend(source, {one.held: one.wait for one in exits})
        return resent

    def _release_all(self, source: Transport, exits: list[Exit]) -> Faults:
        return source.release(
            [(one.held.delivery, release_delay(one.wait, held_for(one.held, self._clock))) for one in exits]
        )

    def _part_with(
        self, batch: list[Exit], *, settled: bool, call: Callable[[Transport, list[Exit]], Faults]
    ) -> list[Exit]:
        """Ack or release what is still ours; the exits that must be tried again."""
        again: list[Exit] = []
        for source, exits in _by_source(self._without_lost(batch)).items():
            charge([one.held for one in exits])
            faults = _faults_of(source, exits, call)
            for position, one in enumerate(exits):
                fault = faults.get(position)
                if fault is None:
                    self._forget(one, settled=settled)
                elif fault.lost or fault.final:
                    self._leave_alone(one, fault)
                else:
                    again.append(one)
        return again

    def _leave_alone(self, one: Exit, fault: Fault) -> None:
        """The queue will not take it back from us: the message comes again when its lease ends."""
        if fault.lost:
            one.held.lost.set()
        else:
            log.error("settle.failed", queue=one.held.source.name, error_code=fault.code, msg=fault.message)
        self._forget(one, settled=False)

    def _without_lost(self, batch: list[Exit]) -> list[Exit]:
        # Each is asked once: the lease keeper may set it at any moment, and none may fall between two looks.
        kept: list[Exit] = []
        for one in batch:
            if one.held.lost.is_set():
                self._forget(one, settled=False)
            else:
                kept.append(one)
        return kept

    def _forget(self, one: Exit, *, settled: bool) -> None:
        self._leases.drop(one.held)
        if one.held.source.is_ordered:
            (self.groups.settled if settled else self.groups.broken)(one.held)
        with self._lock:
            self._leaving -= 1
        settlement = one.settlement
        event, fields = canonical_line(
            one.held, settlement.conclusion, settlement.facts, self._clock, resent=one.resent
        )
        level = log.info if event == "job.done" else log.warning
        level(event, **fields)
        self._note_delivery(event, fields)
        # What comes again has failed now if a try was counted; a shard that is away counts none.
        failed = fields["outcome"] in FAILED or (event == "job.released" and fields["attempt"] > 0)
        failed = failed and "dry_run" not in fields  # it is the answer that somebody asked for
        self._room.leave(settled=settled and not one.resent, failed=failed, priority=one.held.priority)


def priority_of(settlement: Settlement) -> int:
    """How urgent the queue of a job's delivery is; 0 is the most urgent."""
    return settlement.held[0].priority


def _priority_of_exit(one: Exit) -> int:
    return one.held.priority


def _ordered(settlement: Settlement) -> list[Held]:
    return [held for held in settlement.held if held.source.is_ordered]


def _put_each(stage: Batcher[Exit], settlement: Settlement) -> None:
    for held in settlement.held:
        stage.put(Exit(held, settlement))


def _by_source(exits: list[Exit]) -> dict[Transport, list[Exit]]:
    sources: dict[Transport, list[Exit]] = {}
    for one in exits:
        sources.setdefault(one.held.source, []).append(one)
    return sources


def _faults_of(
    source: Transport, exits: list[Exit], call: Callable[[Transport, list[Exit]], Faults]
) -> Faults:
    try:
        return call(source, exits)
    except TransportError as error:
        log.warning("settle.failed", queue=source.name, count=len(exits), error=str(error))
        return dict.fromkeys(range(len(exits)), Fault("unavailable", str(error)))


def _ack_all(source: Transport, exits: list[Exit]) -> Faults:
    return source.ack([one.held.delivery for one in exits])
