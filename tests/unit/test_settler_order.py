"""The settler's order: the result, then the dead letter, then the ack, in every interleaving."""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from structlog.testing import capture_logs

from tests.support.memory_queue import LOST, REFUSED, THROTTLED, Interfere, away, no_faults
from tests.support.settling import REASON, STAGES, Office, answer, refusing
from worker.conclusion import Answer, Bury, Conclusion, Discard, Return
from worker.held import Held
from worker.transports.base import Fault


@pytest.mark.parametrize(
    ("conclusion", "deeds"),
    [
        (answer(), [("response", "send"), ("requests", "ack")]),
        (answer(REASON), [("response", "send"), ("failure", "send"), ("requests", "ack")]),
        (Bury(REASON), [("failure", "send"), ("requests", "ack")]),
        (Discard("superseded"), [("requests", "ack")]),
        (Return(timedelta(seconds=9), "busy"), [("requests", "release")]),
    ],
)
def test_each_conclusion_takes_its_steps_in_order(
    conclusion: Conclusion, deeds: list[tuple[str, str]]
) -> None:
    """And its delivery has left the room and the lease keeper afterwards."""
    office = Office()
    office.settle(conclusion)
    office.run()

    assert office.deeds() == deeds
    assert (office.room.taken, office.leases.in_hand()) == (0, [])
    assert office.room.settled == ("ack" in dict(deeds).values() or ("requests", "ack") in deeds)


def test_a_released_message_comes_back_after_its_delay() -> None:
    """Not before."""
    office = Office()
    office.settle(Return(timedelta(seconds=9), "busy"))
    office.run()
    office.time.pass_time(8.9)
    assert office.requests[0].receive(1, timedelta(), timedelta(seconds=1)) == []
    office.time.pass_time(0.2)

    assert len(office.requests[0].receive(1, timedelta(), timedelta(seconds=1))) == 1


def test_all_copies_of_a_job_share_one_result_and_are_each_acked() -> None:
    """Also those that came over different queues."""
    office = Office()
    office.settle(answer(), copies=3)
    office.run()

    assert Counter(office.deeds()) == {
        ("response", "send"): 1,
        ("requests", "ack"): 2,
        ("more-requests", "ack"): 1,
    }
    assert (office.room.taken, office.room.settled) == (0, 3)


def test_a_result_that_is_too_large_goes_by_claim_check() -> None:
    """Under `results/{job_id}/{run}.json`, whole; the pointer is what is sent."""
    office = Office(bucket="checks")
    body = json.dumps({"customers": "x" * office.response.message_bytes_maximum})
    office.settle(answer(body=body))
    office.run()
    (sent,) = [deed.subject for deed in office.place.journal if deed.queue == "response"]

    assert office.store.objects == {("checks", "results/job-1/1.json"): body.encode()}
    assert json.loads(sent)[1] == {"s3BucketName": "checks", "s3Key": "results/job-1/1.json"}
    assert office.room.settled == 1


@dataclass
class Case:
    """A settled job of the model."""

    conclusion: Conclusion
    held: list[Held]
    body: str
    lost_at: dict[str, int] = field(default_factory=dict)


class SettleMachine(RuleBasedStateMachine):
    """Every interleaving of stages, faults of entries, failing calls and lost leases."""

    @initialize()
    def open(self) -> None:
        """An office with nothing to do."""
        self.office = Office()
        self.cases: list[Case] = []
        self.lines: list[Any] = []

    @rule(
        kind=st.sampled_from(["answer", "answer and bury", "bury", "discard", "return", "return late"]),
        copies=st.integers(1, 3),
    )
    def settle(self, kind: str, copies: int) -> None:
        """A job is concluded."""
        body = f'"result {len(self.cases)}"'
        conclusions: dict[str, Conclusion] = {
            "answer": answer(body=body),
            "answer and bury": answer(REASON, body),
            "bury": Bury(REASON),
            "discard": Discard("superseded"),
            "return": Return(timedelta(seconds=3), "busy"),
            "return late": Return(timedelta(days=2), "retry_requested"),
        }
        conclusion = conclusions[kind]
        self.cases.append(Case(conclusion, self.office.settle(conclusion, copies), body))

    @rule(
        stage=st.sampled_from(STAGES),
        faults=st.lists(st.sampled_from([None, None, THROTTLED, REFUSED, LOST]), max_size=10),
    )
    def step(self, stage: str, faults: list[Fault | None]) -> None:
        """A stage sends a batch, of which the queue refuses some."""
        if stage in {"results", "dead-letters"}:
            faults = [None if fault is LOST else fault for fault in faults]
        self._step(stage, refusing(*faults))

    @rule(stage=st.sampled_from(STAGES))
    def step_in_vain(self, stage: str) -> None:
        """A stage's call fails as a whole."""
        self._step(stage, away)

    def _step(self, stage: str, interfere: Interfere) -> None:
        queues = [*self.office.requests, self.office.response, self.office.failure]
        for queue in queues:
            queue.interfere = interfere
        with capture_logs() as lines:
            self.office.step(stage)
        self.lines += [line for line in lines if line["event"].startswith("job.")]
        for queue in queues:
            queue.interfere = no_faults

    @precondition(lambda self: self.cases)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """A lease runs out."""
        case = data.draw(st.sampled_from(self.cases))
        held = data.draw(st.sampled_from(case.held))
        if held in self.office.leases.in_hand():
            held.lost.set()
            case.lost_at.setdefault(held.delivery.message_id, len(self.office.place.journal))

    @invariant()
    def an_ack_comes_after_the_result_and_after_the_dead_letter(self) -> None:
        """In the order in which the queues accepted them."""
        journal = self.office.place.journal
        acks = {deed.subject: place for place, deed in enumerate(journal) if deed.action == "ack"}
        for case in self.cases:
            acked = [acks[one.delivery.message_id] for one in case.held if one.delivery.message_id in acks]
            steps = [-1, *self._due(case)]
            if acked:
                assert None not in steps
                assert steps == sorted(steps)  # type: ignore[type-var]
                assert steps[-1] < min(acked)  # type: ignore[operator]

    def _due(self, case: Case) -> list[int | None]:
        """Where in the journal the sends stand that must come before an ack; None for one that is missing."""
        due: list[int | None] = []
        if isinstance(case.conclusion, Answer):
            due.append(self._first("response", case.body))
        if isinstance(case.conclusion, Bury) or (
            isinstance(case.conclusion, Answer) and case.conclusion.dead_letter
        ):
            due.append(self._first("failure", case.held[0].delivery.body))
        return due

    def _first(self, queue: str, body: str) -> int | None:
        places = (
            place
            for place, deed in enumerate(self.office.place.journal)
            if (deed.queue, deed.action, deed.subject) == (queue, "send", body)
        )
        return next(places, None)

    @invariant()
    def what_waits_is_acked_only_after_a_copy_of_it_was_accepted(self) -> None:
        """One copy for each delivery: those on the queues are the ones received and the copies."""
        journal = self.office.place.journal
        acked = {deed.subject for deed in journal if deed.action == "ack"}
        for case in self.cases:
            if isinstance(case.conclusion, Return):
                body = case.held[0].delivery.body
                sent = sum(deed.action == "send" and deed.subject == body for deed in journal)
                gone = sum(one.delivery.message_id in acked for one in case.held)
                assert sent - len(case.held) >= gone

    @invariant()
    def a_lost_delivery_is_never_touched_again(self) -> None:
        """Neither acked nor released from the moment at which its loss is known."""
        for case in self.cases:
            for message_id, lost_at in case.lost_at.items():
                later = self.office.place.journal[lost_at:]
                assert not [deed for deed in later if deed.subject == message_id]

    @invariant()
    def each_delivery_leaves_at_most_once(self) -> None:
        """With one line; and its lease is kept exactly as long as it is in the room."""
        written = Counter(line["message_id"] for line in self.lines)
        count = sum(len(case.held) for case in self.cases)
        assert set(written.values()) <= {1}
        assert self.office.room.taken == count - len(written) == len(self.office.leases.in_hand())

    def teardown(self) -> None:
        """When the queues are well again, everything ends: acked, released or known to be lost."""
        if not hasattr(self, "office"):
            return
        for _ in range(60):
            for stage in STAGES:
                self._step(stage, no_faults)
        self.an_ack_comes_after_the_result_and_after_the_dead_letter()
        self.a_lost_delivery_is_never_touched_again()
        self.each_delivery_leaves_at_most_once()
        assert self.office.room.taken == 0
        waiting = [one for case in self.cases if isinstance(case.conclusion, Return) for one in case.held]
        acked = set(self.office.place.did("ack")) - {one.delivery.message_id for one in waiting}
        assert self.office.room.settled == len(acked)


TestSettleMachine = SettleMachine.TestCase
TestSettleMachine.settings = hypothesis_settings(max_examples=100, stateful_step_count=40, deadline=None)
