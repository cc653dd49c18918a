"""Settles: the result first, then the dead letter if one is due, then the ack; or gives the message back."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from config.points import passed
from config.settings import Settings
from worker.backoff import half_jitter
from worker.batcher import Batcher, Pace
from worker.clock import Clock
from worker.conclusion import Answer, Bury, Conclusion, Discard, Return
from worker.exits import AT_ONCE, Exit, Exits, NoteDelivery, Settlement, priority_of
from worker.facts import Facts
from worker.groups import Groups
from worker.held import Held, Room, charge
from worker.leases import Leases
from worker.letters import Letters, TooLarge
from worker.objects import ObjectError
from worker.ordering import final_result
from worker.pulse import move
from worker.resending import Resender
from worker.transports.base import Fault, Faults, Message, Transport, TransportError

UNSENT_BASE: Final = timedelta(seconds=5)
UNSENT_MAXIMUM: Final = timedelta(minutes=15)

log = structlog.get_logger()


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
        note_delivery: NoteDelivery = lambda _event, _fields: None,
    ) -> None:
        self._outlets = outlets
        self._letters = letters
        self._room = room
        self._clock = clock
        resender = Resender(letters, clock)
        self._exits = Exits(resender, leases, room, clock, settings.worker.ack_linger, note_delivery)
        result_pace = Pace(settings.worker.result_linger.total_seconds(), self._more_results_expected)
        self._results: Batcher[Settlement] = Batcher(self._send_results, result_pace, clock, priority_of)
        self._dead_letters: Batcher[Settlement] = Batcher(
            self._send_dead_letters, AT_ONCE, clock, priority_of
        )

    def settle(self, held: list[Held], conclusion: Conclusion, facts: Facts) -> None:
        """Take a concluded job; never waits."""
        settlement = Settlement(held, conclusion, facts)
        self._exits.expect(settlement)
        match conclusion:
            case Answer():
                self._results.put(settlement)
            case Bury():
                self._dead_letters.put(settlement)
            case Discard():
                self._exits.ack(settlement)
            case Return():
                self._exits.release(settlement)

    def tell(self, groups: Groups) -> None:
        """Let these groups know what becomes of each delivery; to be said before the first `settle`."""
        self._exits.groups = groups

    def give_back(self, held: Held, code: str) -> None:
        """Let a delivery that nobody has opened come again at once; never waits."""
        self.settle([held], Return(timedelta(), code), Facts())

    def stages(self) -> dict[str, Batcher[Settlement] | Batcher[Exit]]:
        """The stages by name, in the order in which they are closed."""
        return {
            "results": self._results,
            "dead-letters": self._dead_letters,
            "releases": self._exits.releases,
            "acks": self._exits.acks,
        }

    def _more_results_expected(self) -> bool:
        # what waits behind a head waits for that one's result itself
        return self._room.taken - self._exits.groups.waiting > self._exits.leaving

    def _send_results(self, batch: list[Settlement]) -> list[Settlement]:
        def write(settlement: Settlement) -> Message:
            conclusion, identity = settlement.conclusion, settlement.facts.identity
            assert isinstance(conclusion, Answer)  # noqa: S101 - settle() sends only answers here
            assert identity is not None  # noqa: S101 - who is answered is known
            queue = self._outlets.response
            result = self._letters.result(queue, conclusion.body, identity)
            return final_result(queue, result, identity, conclusion.status)

        passed("before_result")
        sent, unsent = self._send(self._outlets.response, batch, write)
        for settlement in sent:
            passed("after_result")
            if settlement.dead_letter is None:
                self._exits.ack(settlement)
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
            self._exits.ack(settlement)
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
            move()  # each may have gone to a bucket, which may be slow
        charge([settlement.held[0] for settlement, _ in written])
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
        self._exits.ack(settlement)
        return True

    def _give_back(self, settlement: Settlement, code: str) -> None:
        receives = max(held.delivery.receive_count for held in settlement.held)
        delay = half_jitter(receives, UNSENT_BASE, UNSENT_MAXIMUM, self._clock.random())
        settlement.conclusion = Return(delay, code)
        self._exits.release(settlement)
