"""Bends: ways to break the worker's order of things, each of which the crash matrix must find out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import shards.parts
import worker.attachment_disk
from config.points import passed
from shards.claims import Claimed, claim, end_with_outcome
from shards.inbox import Outcome
from shards.parts import PartStore
from worker.resending import Resender
from worker.settler import Settler


@dataclass(frozen=True)
class Bend:
    """What is done wrong, at which crash it shows, and which promise is broken then."""

    apply: Callable[[], None]
    crash: str
    broken: str


def _ack_before_the_result() -> None:
    send = Settler._send_results

    def ack_and_send(self: Settler, batch: list[Any]) -> Any:
        for settlement in batch:
            for held in settlement.held:
                held.source.ack([held.delivery])
        return send(self, batch)

    _put(Settler, "_send_results", ack_and_send)


def _claim_nothing() -> None:
    _put(shards.parts, "claim", lambda *_, **__: Claimed())
    _put(shards.parts, "end_with_outcome", lambda _, __, ___, outcome, ____: outcome)


def _commit_the_outcome_by_itself() -> None:
    def run(self: PartStore, identity: Any, work: Any) -> Outcome:
        body = self._write(work)

        def record(connection: Any) -> Outcome:
            claimed = claim(connection, identity, 0.0)
            if isinstance(claimed, Outcome):
                return claimed
            return end_with_outcome(connection, identity, claimed, Outcome("succeeded", 1, body), 0.0)

        return self._write(record)

    _put(PartStore, "run", run)


def _tell_a_failure_without_recording_it() -> None:
    def count_attempt(_: PartStore, identity: Any, __: int, exhausted: Callable[[int], bytes]) -> Outcome:
        return Outcome("failed", identity.run, exhausted(1), dead_letter=True, attempt=1)

    _put(PartStore, "count_attempt", count_attempt)


def _forget_that_a_dead_letter_is_due() -> None:
    def end(connection: Any, identity: Any, claimed: Any, outcome: Outcome, now: float) -> Outcome:
        end_with_outcome(connection, identity, claimed, replace(outcome, dead_letter=False), now)
        return outcome

    _put(shards.parts, "end_with_outcome", end)


def _count_each_start() -> None:
    usual = PartStore.run

    def run(self: PartStore, identity: Any, work: Any) -> Outcome:
        self.count_attempt(identity, 100, lambda _: b"")
        return usual(self, identity, work)

    _put(PartStore, "run", run)


def _ack_what_waits_without_a_copy() -> None:
    def resend(_: Resender, source: Any, waits: Any) -> Any:
        source.ack([held.delivery for held in waits])
        for _ in waits:
            passed("after_resend")
        return set(waits)

    _put(Resender, "resend", resend)


def _sweep_nothing() -> None:
    _put(worker.attachment_disk, "_sweep", lambda _: 0)


def _put(owner: Any, name: str, bent: Any) -> None:
    getattr(owner, name)  # what is not there any more bends nothing
    setattr(owner, name, bent)


BENDS = {
    "acks before it answers": Bend(_ack_before_the_result, "before_result", "an answer"),
    "claims no row": Bend(_claim_nothing, "after_first_part", "no effect twice"),
    "commits the outcome after the data": Bend(
        _commit_the_outcome_by_itself, "after_first_part", "no effect twice"
    ),
    "tells a failure that is not recorded": Bend(
        _tell_a_failure_without_recording_it, "after_result", "the same answer"
    ),
    "forgets that a dead letter is due": Bend(
        _forget_that_a_dead_letter_is_due, "after_result", "a dead letter"
    ),
    "counts each start": Bend(_count_each_start, "inside_handler", "no death counted"),
    "acks what waits and sends no copy": Bend(_ack_what_waits_without_a_copy, "after_resend", "an answer"),
    "sweeps nothing": Bend(_sweep_nothing, "after_prepare", "no file left"),
}
