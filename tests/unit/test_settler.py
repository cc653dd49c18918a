"""The settler: the result, then the dead letter, then the ack, whatever fails in between."""

import itertools
import json
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from structlog.testing import capture_logs

from config.settings import Settings
from tests.support.fakes import (
    LOST,
    REFUSED,
    THROTTLED,
    Interfere,
    ManualTime,
    MemoryPlace,
    MemoryStore,
    MemoryTransport,
    away,
    no_faults,
)
from tests.support.jobs import envelope_of, held_of, job_fields
from worker.conclusion import Answer, Bury, Conclusion, Discard, Reason, Return
from worker.envelope import Identity, identity_of
from worker.events import unknown_fields
from worker.facts import Facts
from worker.held import Held, Room
from worker.leases import Leases
from worker.letters import Letters
from worker.objects import ObjectNotAllowed, ObjectStoreUnavailable
from worker.settler import Outlets, Settler
from worker.transports.base import Fault, Faults, Message

STAGES = ("results", "dead-letters", "acks", "releases")
REASON = Reason("schema_defect", "A table is missing.", 5)
SETTINGS = Settings.model_validate(
    {"queues": {"request": ["sqs://a"], "response": "sqs://b", "failure": "sqs://c"}}
)


class Office:
    """A settler over queues in memory, whose stages are moved by hand, one batch at a time."""

    def __init__(self, bucket: str | None = None) -> None:
        self.time = ManualTime()
        self.place = MemoryPlace(clock=lambda: self.time.seconds)
        self.requests = [self.place.transport("requests"), self.place.transport("more-requests")]
        self.response, self.failure = self.place.transport("response"), self.place.transport("failure")
        self.room = Room(10**6, None, lambda: None, lambda: None)
        self.leases = Leases(10**6, self.time.clock)
        self.store = MemoryStore()
        letters = Letters(self.store, bucket, "host:1", self.time.clock)
        outlets = Outlets(self.response, self.failure)
        self.settler = Settler(outlets, letters, SETTINGS, self.leases, self.room, self.time.clock)
        self._again: dict[str, list[Any]] = {name: [] for name in STAGES}
        self._numbers = itertools.count(1)

    def take(self, body: str, source: MemoryTransport) -> Held:
        """Receive a message of this body."""
        source.send([Message(body)])
        (delivery,) = source.receive(1, timedelta(), timedelta(days=10))
        held = held_of(body, source=source)
        held.delivery = delivery
        held.expires_at = 10**9
        self.leases.keep([held])
        self.room.fill(self.room.reserve(1, 0), 1)
        return held

    def receive(self, copies: int = 1, **fields: Any) -> list[Held]:
        """Receive a new job, several times over."""
        number = next(self._numbers)
        body = json.dumps(job_fields(job_id=f"job-{number}", **fields))
        return [self.take(body, self.requests[copy % 2]) for copy in range(copies)]

    def settle(self, conclusion: Conclusion, copies: int = 1) -> list[Held]:
        """Receive a job and hand it over as concluded."""
        held = self.receive(copies)
        self.settler.settle(held, conclusion, Facts(identity_for(held[0])))
        return held

    def has_work(self, name: str) -> bool:
        """Whether something waits before a stage."""
        return bool(self._again[name]) or self.settler.stages()[name].depth() > 0

    def step(self, name: str) -> None:
        """Let one stage send one batch, if it has any."""
        if self.has_work(name):
            stage = self.settler.stages()[name]
            stage._hurried = True
            again = stage._flush(stage._collect(self._again[name]))  # type: ignore[arg-type]
            self._again[name] = list(again)

    def run(self, rounds: int = 20) -> None:
        """Let every stage send what it can."""
        for _ in range(rounds):
            for name in STAGES:
                self.step(name)

    def deeds(self, *, beside: str = "extend") -> list[tuple[str, str]]:
        """What the queues accepted since the messages were sent: queue and action."""
        return [
            (deed.queue, deed.action)
            for deed in self.place.journal
            if deed.action != beside and (deed.queue, deed.action) not in SENT_BY_TEST
        ]


SENT_BY_TEST = {("requests", "send"), ("more-requests", "send")}


def identity_for(held: Held) -> Identity:
    return identity_of(envelope_of(held))


def answer(dead_letter: Reason | None = None, body: str = '{"status":"succeeded"}') -> Answer:
    return Answer("failed" if dead_letter else "succeeded", body, dead_letter)


def refusing(*faults: Fault | None) -> Interfere:
    """Refuse the entries at the positions of the faults."""

    def interfere(_action: str, _batch: Sequence[object]) -> Faults:
        return {position: fault for position, fault in enumerate(faults) if fault is not None}

    return interfere


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


def test_a_result_is_sent_again_until_the_response_queue_takes_it() -> None:
    """Meanwhile the message is in hand, and its place in the room taken: no more is received than settled."""
    office = Office()
    office.settle(answer())
    office.response.interfere = away
    office.run(5)
    assert (office.deeds(), office.room.taken, len(office.leases.in_hand())) == ([], 1, 1)
    office.response.interfere = no_faults
    office.run()

    assert office.deeds() == [("response", "send"), ("requests", "ack")]


def test_one_result_that_the_queue_does_not_take_now_does_not_hold_up_the_others() -> None:
    """It is sent again first."""
    office = Office()
    for number in range(3):
        office.settle(answer(body=f'"{number}"'))
    office.response.interfere = refusing(None, THROTTLED)
    office.step("results")
    office.response.interfere = no_faults
    office.run()

    assert [deed.subject for deed in office.place.journal if deed.queue == "response"] == [
        '"0"',
        '"2"',
        '"1"',
    ]
    assert office.room.settled == 3


def test_a_dead_letter_that_cannot_be_sent_gives_its_message_back() -> None:
    """Bad messages never fill the worker, and are not dropped: later all of it is done again."""
    office = Office()
    held = office.settle(answer(REASON), copies=2)
    office.failure.interfere = away
    with capture_logs() as lines:
        office.run()

    assert Counter(office.deeds()) == {
        ("response", "send"): 1,
        ("requests", "release"): 1,
        ("more-requests", "release"): 1,
    }
    released = [line for line in lines if line["event"] == "job.released"]
    assert [line["error_code"] for line in released] == ["failure_queue_away"] * 2
    assert {line["delay_ms"] for line in released} == {2500}
    assert [one.lost.is_set() for one in held] == [False, False]
    assert (office.room.taken, office.room.settled) == (0, 0)


def test_what_a_queue_will_never_take_gives_its_message_back_with_an_error() -> None:
    """A final fault: sending it again cannot help, but an operator can."""
    office = Office()
    office.settle(answer())
    office.settle(Bury(REASON))
    office.response.interfere = office.failure.interfere = refusing(REFUSED)
    with capture_logs() as lines:
        office.run()

    assert office.deeds() == [("requests", "release")] * 2
    errors = [line for line in lines if line["event"] == "settle.failed" and line["log_level"] == "error"]
    assert [line["error_code"] for line in errors][:1] == ["Refused"]


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


@pytest.mark.parametrize(
    ("bucket", "error"),
    [
        (None, None),
        ("checks", ObjectStoreUnavailable("SlowDown", "later")),
        ("checks", ObjectNotAllowed("the key leads out of the bucket")),
    ],
)
def test_a_result_that_cannot_be_offloaded_gives_its_message_back(
    bucket: str | None, error: Exception | None
) -> None:
    """Alone: the other results of its batch are sent."""
    office = Office(bucket)
    office.store.error = error
    office.settle(answer(body="x" * (office.response.message_bytes_maximum + 1)))
    office.settle(answer())
    with capture_logs() as lines:
        office.run()

    assert Counter(office.deeds()) == {
        ("response", "send"): 1,
        ("requests", "ack"): 1,
        ("requests", "release"): 1,
    }
    assert [line["log_level"] for line in lines if line["event"] == "settle.failed"] == ["error"]


@pytest.mark.parametrize("conclusion", [answer(), Discard("superseded"), Return(timedelta(), "busy")])
def test_a_delivery_whose_lease_was_lost_is_neither_acked_nor_released(conclusion: Conclusion) -> None:
    """Another worker has it; its place is free."""
    office = Office()
    lost, kept = office.settle(conclusion, copies=2)
    lost.lost.set()
    with capture_logs() as lines:
        office.run()

    touched = {deed.subject for deed in office.place.journal if deed.action in {"ack", "release"}}
    assert touched == {kept.delivery.message_id}
    assert [(line["message_id"], line["lease_lost"]) for line in lines] == [
        (lost.delivery.message_id, True),
        (kept.delivery.message_id, False),
    ]
    assert office.room.taken == 0


def test_a_lease_that_is_lost_at_the_worst_moment_leaves_no_delivery_behind() -> None:
    """Between two looks at it: it leaves the room all the same, once."""

    class LostAtSecondLook(threading.Event):
        """Not set when first asked, set ever after."""

        looks = 0

        def is_set(self) -> bool:
            """Whether it was asked before."""
            self.looks += 1
            return self.looks > 1

    office = Office()
    (held,) = office.settle(Discard("superseded"))
    held.lost = LostAtSecondLook()
    office.run()

    assert (office.room.taken, office.leases.in_hand()) == (0, [])


def test_a_result_that_nobody_here_needs_any_more_is_not_sent_again() -> None:
    """While the response queue was away, every lease of the job was lost: whoever has it now answers."""
    office = Office()
    (held,) = office.settle(answer())
    office.response.interfere = away
    office.step("results")
    held.lost.set()
    office.step("results")
    office.response.interfere = no_faults
    office.run()

    assert (office.deeds(), office.room.taken) == ([], 0)


@pytest.mark.parametrize("action", ["ack", "release"])
@pytest.mark.parametrize("interfere", [away, refusing(THROTTLED)])
def test_an_ack_or_release_that_fails_is_tried_again(action: str, interfere: Interfere) -> None:
    """In hand until then."""
    office = Office()
    office.settle(Discard("superseded") if action == "ack" else Return(timedelta(), "busy"))
    office.requests[0].interfere = interfere
    office.run(3)
    assert office.room.taken == 1
    office.requests[0].interfere = no_faults
    office.run()

    assert (office.deeds(), office.room.taken) == ([("requests", action)], 0)


@pytest.mark.parametrize("action", ["ack", "release"])
@pytest.mark.parametrize(("fault", "lease_lost"), [(LOST, True), (REFUSED, False)])
def test_a_message_that_the_queue_will_not_let_go_of_leaves_all_the_same(
    action: str, fault: Fault, *, lease_lost: bool
) -> None:
    """It is somebody else's, or comes back by itself when its lease ends; it is not counted as settled."""
    office = Office()
    office.settle(Discard("superseded") if action == "ack" else Return(timedelta(), "busy"))
    office.requests[0].interfere = refusing(fault)
    with capture_logs() as lines:
        office.run()

    assert (office.room.taken, office.room.settled, office.leases.in_hand()) == (0, 0, [])
    assert [line["lease_lost"] for line in lines if line["event"].startswith("job.")] == [lease_lost]


@pytest.mark.parametrize(
    ("conclusion", "event", "outcome", "code", "attempt"),
    [
        (answer(), "job.done", "succeeded", None, 0),
        (answer(REASON), "job.dead_lettered", "failed", "schema_defect", 5),
        (Answer("partial", "{}", None, "invalid_rows"), "job.done", "partial", "invalid_rows", 0),
        (Bury(Reason("too_old", "Old.")), "job.dead_lettered", "unanswered", "too_old", 0),
        (Discard("superseded"), "job.done", "discarded", "superseded", 0),
        (Return(timedelta(seconds=1.5), "busy", 2), "job.released", "released", "busy", 2),
    ],
)
def test_each_delivery_has_one_canonical_line(
    conclusion: Conclusion, event: str, outcome: str, code: str | None, attempt: int
) -> None:
    """With all that is known of it, and no field that is not on the list."""
    office = Office()
    office.settle(conclusion, copies=2)
    office.time.pass_time(0.25)
    with capture_logs() as lines:
        office.run()

    assert [line["event"] for line in lines] == [event, event]
    for line in lines:
        fields = frozenset(line) - {"log_level", "event"}
        assert unknown_fields(event, fields) == set()
        assert (line["outcome"], line["error_code"], line["attempt"]) == (outcome, code, attempt)
        assert (line["job"], line["run"], line["partner"], line["type"]) == (
            "job-1",
            1,
            "acme",
            "orders.insert",
        )
        assert (line["customers"], line["receive_count"], line["total_ms"]) == (1, 1, 250.0)
        assert line.get("delay_ms") == (1500 if event == "job.released" else None)
    assert {line["queue"] for line in lines} == {"requests", "more-requests"}


def test_an_unreadable_message_has_its_line_too() -> None:
    """Nothing is known of it but its delivery."""
    office = Office()
    held = office.take("no json", office.requests[0])
    office.settler.settle([held], Bury(Reason("bad_message", "No JSON.")), Facts())
    with capture_logs() as lines:
        office.run()

    (line,) = lines
    assert line["event"] == "job.dead_lettered"
    assert "job" not in line
    assert unknown_fields(line["event"], frozenset(line) - {"log_level"}) == set()


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
        kind=st.sampled_from(["answer", "answer and bury", "bury", "discard", "return"]),
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
        assert self.office.room.settled == len(self.office.place.did("ack"))


TestSettleMachine = SettleMachine.TestCase
TestSettleMachine.settings = hypothesis_settings(max_examples=100, stateful_step_count=40, deadline=None)
