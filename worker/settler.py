"""Settles: the result first, then the dead letter if one is due, then the ack; or gives the message back."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog

from config.points import passed
from config.settings import Settings
from worker.backoff import half_jitter
from worker.batcher import Batcher, Pace
from worker.clock import Clock
from worker.conclusion import Answer, Bury, Conclusion, Discard, Reason, Return
from worker.facts import Facts, canonical_line
from worker.held import Held, Room
from worker.leases import Leases
from worker.letters import Letters, TooLarge
from worker.objects import ObjectError
from worker.transports.base import Fault, Faults, Message, Transport, TransportError

RELEASE_LINGER_SECONDS: Final = 0.02
UNSENT_BASE: Final = timedelta(seconds=5)
UNSENT_MAXIMUM: Final = timedelta(minutes=15)

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


@dataclass(frozen=True, slots=True)
class Exit:
    """One delivery on its way out: acked, or released after a delay."""

    held: Held
    settlement: Settlement


@dataclass(frozen=True, slots=True)
class Outlets:
    """The queues that the settler writes to."""

    response: Transport
    failure: Transport


class Settler:
    """Takes concluded jobs to their end in batches; each stage has a thread of its own.

    A result is sent again until the response queue takes it, under the lease: while that queue is away the
    worker fills up and receives no more. A dead letter that cannot be sent gives its message back, so that
    bad messages never fill the worker. A delivery whose lease was lost is neither acked nor released.
    """

    def __init__(
        self,
        outlets: Outlets,
        letters: Letters,
        settings: Settings,
        leases: Leases,
        room: Room,
        clock: Clock,
    ) -> None:
        self._outlets = outlets
        self._letters = letters
        self._leases = leases
        self._room = room
        self._clock = clock
        self._lock = threading.Lock()
        self._leaving = 0
        worker = settings.worker
        result_pace = Pace(worker.result_linger.total_seconds(), self._more_results_expected)
        ack_pace = Pace(worker.ack_linger.total_seconds(), lambda: True)
        at_once = Pace(RELEASE_LINGER_SECONDS, lambda: False)
        self._results: Batcher[Settlement] = Batcher(self._send_results, result_pace, clock)
        self._dead_letters: Batcher[Settlement] = Batcher(self._send_dead_letters, at_once, clock)
        self._acks: Batcher[Exit] = Batcher(self._ack, ack_pace, clock)
        self._releases: Batcher[Exit] = Batcher(self._release, at_once, clock)

    def settle(self, held: list[Held], conclusion: Conclusion, facts: Facts) -> None:
        """Take a concluded job; never waits."""
        settlement = Settlement(held, conclusion, facts)
        with self._lock:
            self._leaving += len(held)
        match conclusion:
            case Answer():
                self._results.put(settlement)
            case Bury():
                self._dead_letters.put(settlement)
            case Discard():
                self._leave_by(self._acks, settlement)
            case Return():
                self._leave_by(self._releases, settlement)

    def stages(self) -> dict[str, Batcher[Settlement] | Batcher[Exit]]:
        """The stages by name, in the order in which they are closed."""
        return {
            "results": self._results,
            "dead-letters": self._dead_letters,
            "acks": self._acks,
            "releases": self._releases,
        }

    def _more_results_expected(self) -> bool:
        return self._room.taken > self._leaving

    def _leave_by(self, stage: Batcher[Exit], settlement: Settlement) -> None:
        for held in settlement.held:
            stage.put(Exit(held, settlement))

    def _send_results(self, batch: list[Settlement]) -> list[Settlement]:
        def write(settlement: Settlement) -> Message:
            assert isinstance(settlement.conclusion, Answer)  # noqa: S101 - settle() sends only answers here
            assert settlement.facts.identity is not None  # noqa: S101 - who is answered is known
            return self._letters.result(
                self._outlets.response, settlement.conclusion.body, settlement.facts.identity
            )

        passed("before_result")
        sent, unsent = self._send(self._outlets.response, batch, write)
        for settlement in sent:
            passed("after_result")
            if settlement.dead_letter is None:
                self._leave_by(self._acks, settlement)
            else:
                self._dead_letters.put(settlement)
        return [settlement for settlement in unsent if not self._is_lost(settlement)]

    def _send_dead_letters(self, batch: list[Settlement]) -> list[Settlement]:
        def write(settlement: Settlement) -> Message:
            reason = settlement.dead_letter
            assert reason is not None  # noqa: S101 - settle() sends only those with a reason here
            return self._letters.dead_letter(
                self._outlets.failure,
                settlement.held[0],
                reason,
                settlement.facts.identity,
                answered=isinstance(settlement.conclusion, Answer),
            )

        sent, unsent = self._send(self._outlets.failure, batch, write)
        for settlement in sent:
            passed("after_dead_letter")
            self._leave_by(self._acks, settlement)
        for settlement in unsent:
            self._give_back(settlement, "failure_queue_away")
        return []

    def _send(
        self, queue: Transport, batch: list[Settlement], write: Callable[[Settlement], Message]
    ) -> tuple[list[Settlement], list[Settlement]]:
        """Write and send each settlement's message; those that the queue accepted, and the others."""
        written: list[tuple[Settlement, Message]] = []
        unsent: list[Settlement] = []
        for settlement in batch:
            try:
                written.append((settlement, write(settlement)))
            except (TooLarge, ObjectError) as error:
                log.error("settle.failed", queue=queue.name, error_code=type(error).__name__, msg=str(error))
                self._give_back(settlement, "unsendable")
        faults = self._try_to_send(queue, [message for _, message in written])
        sent: list[Settlement] = []
        for position, (settlement, _) in enumerate(written):
            fault = faults.get(position)
            if fault is None:
                sent.append(settlement)
            elif fault.final:
                log.error("settle.failed", queue=queue.name, error_code=fault.code, msg=fault.message)
                self._give_back(settlement, "unsendable")
            else:
                unsent.append(settlement)
        return sent, unsent

    def _try_to_send(self, queue: Transport, messages: list[Message]) -> Faults:
        try:
            return queue.send(messages) if messages else {}
        except TransportError as error:
            log.warning("settle.failed", queue=queue.name, count=len(messages), error=str(error))
            return dict.fromkeys(range(len(messages)), Fault("unavailable", str(error)))

    def _is_lost(self, settlement: Settlement) -> bool:
        """Whether nobody here needs the result any more: every delivery of the job is somebody else's."""
        if not all(held.lost.is_set() for held in settlement.held):
            return False
        self._leave_by(self._acks, settlement)
        return True

    def _give_back(self, settlement: Settlement, code: str) -> None:
        receives = max(held.delivery.receive_count for held in settlement.held)
        delay = half_jitter(receives, UNSENT_BASE, UNSENT_MAXIMUM, self._clock.random())
        settlement.conclusion = Return(delay, code)
        self._leave_by(self._releases, settlement)

    def _ack(self, batch: list[Exit]) -> list[Exit]:
        return self._part_with(batch, settled=True, call=_ack_all)

    def _release(self, batch: list[Exit]) -> list[Exit]:
        return self._part_with(batch, settled=False, call=_release_all)

    def _part_with(
        self, batch: list[Exit], *, settled: bool, call: Callable[[Transport, list[Exit]], Faults]
    ) -> list[Exit]:
        """Ack or release what is still ours; the exits that must be tried again."""
        again: list[Exit] = []
        for source, exits in _by_source(self._without_lost(batch)).items():
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
        with self._lock:
            self._leaving -= 1
        event, fields = canonical_line(one.held, one.settlement.conclusion, one.settlement.facts, self._clock)
        level = log.info if event == "job.done" else log.warning
        level(event, **fields)
        self._room.leave(settled=settled)


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


def _release_all(source: Transport, exits: list[Exit]) -> Faults:
    return source.release([(one.held.delivery, _delay(one)) for one in exits])


def _delay(one: Exit) -> timedelta:
    conclusion = one.settlement.conclusion
    return conclusion.after if isinstance(conclusion, Return) else timedelta()
