"""The settler over whole lives of messages: queues go away and return, leases end, messages come again."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from structlog.testing import capture_logs

from tests.support.jobs import job_fields
from tests.support.memory_queue import REFUSED, THROTTLED, away, no_faults
from tests.support.settling import REASON, SETTINGS, STAGES, Hands, Office, answer, identity_for, refusing
from worker.conclusion import Answer, Bury, Conclusion, Discard, Return
from worker.facts import Facts
from worker.held import Held
from worker.leases import Leases
from worker.letters import Letters
from worker.settler import Outlets, Settler
from worker.transports.base import Delivery, Fault, Faults, Message

LEASE_SECONDS: Final = 60.0
ENOUGH_ROUNDS: Final = 400
KINDS: Final = st.sampled_from(["answer and bury", "answer", "bury", "discard"])
LONG: Final = timedelta(days=3)
WAITS: Final = st.lists(st.sampled_from([timedelta(), timedelta(seconds=20), LONG, LONG]), max_size=2)
FAULTS: Final = st.lists(st.sampled_from([None, None, THROTTLED, REFUSED]), max_size=10)


class Desk(Office):
    """An office whose leases end, and which is told what each delivery must not do any more."""

    def __init__(self) -> None:
        super().__init__()
        clock = self.time.clock
        self.leases = Leases(LEASE_SECONDS, clock)
        letters = Letters(self.store, None, "host:1", clock)
        outlets = Outlets(self.response, self.failure)
        self.settler = Settler(outlets, letters, SETTINGS, self.leases, self.room, clock)
        hands = Hands(self.settler)
        self.has_work, self.step = hands.has_work, hands.step
        self.queue = self.requests[0]
        self.by_receipt: dict[str, Held] = {}
        self.touched: Counter[str] = Counter()

    def receive_some(self, maximum: int) -> list[Held]:
        """Receive as the worker does."""
        now = self.time.seconds
        received = self.queue.receive(maximum, timedelta(), timedelta(seconds=LEASE_SECONDS))
        held = [Held(one, self.queue, self.time.clock.now(), now, now + LEASE_SECONDS) for one in received]
        self.leases.keep(held)
        self.room.fill(self.room.reserve(10, 0), len(held))
        self.by_receipt.update((one.delivery.receipt, one) for one in held)
        return held

    def check_not_lost(self, action: str, batch: Sequence[Any]) -> Faults:
        """Fail where a delivery is acked or released after its lease was lost, or after it was acked."""
        if action in {"ack", "release"}:
            deliveries: list[Delivery] = [one if action == "ack" else one[0] for one in batch]
            for delivery in deliveries:
                assert not self.by_receipt[delivery.receipt].lost.is_set(), f"{action} after a lost lease"
                assert not self.touched[delivery.receipt], f"{action} of what was given away before"
        return {}

    def note(self, action: str, batch: Sequence[Any], faults: Faults) -> None:
        """What was acked or released without a fault is given away."""
        for position, one in enumerate(batch):
            if position not in faults:
                self.touched[(one if action == "ack" else one[0]).receipt] += 1


class Life(RuleBasedStateMachine):
    """Jobs are received, wait once or twice, and are settled; whatever comes again is settled again."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk()
        self.plans: dict[str, list[Conclusion]] = {}
        self.unsettled: list[Held] = []
        self.received = 0
        self.left = 0
        self._set_all_well()
        self._watch_what_is_given_away()

    def _watch_what_is_given_away(self) -> None:
        queue = self.desk.queue
        ack, release = queue.ack, queue.release

        def noted_ack(batch: Sequence[Delivery]) -> Faults:
            faults = ack(batch)
            self.desk.note("ack", batch, faults)
            return faults

        def noted_release(batch: Sequence[tuple[Delivery, timedelta]]) -> Faults:
            faults = release(batch)
            self.desk.note("release", batch, faults)
            return faults

        queue.ack, queue.release = noted_ack, noted_release  # type: ignore[method-assign]

    def _set_all_well(self) -> None:
        self.desk.response.interfere = self.desk.failure.interfere = no_faults
        self.desk.queue.interfere = self.desk.check_not_lost

    @rule(kind=KINDS, waits=WAITS, copies=st.integers(1, 2))
    def send(self, kind: str, waits: list[timedelta], copies: int) -> None:
        """A job is sent, perhaps twice: it waits so often before it is done."""
        job_id = f"job-{len(self.plans)}"
        final: dict[str, Conclusion] = {
            "answer": answer(body=f'"{job_id}"'),
            "answer and bury": answer(REASON, f'"{job_id}"'),
            "bury": Bury(REASON),
            "discard": Discard("superseded"),
        }
        self.plans[job_id] = [*(Return(wait, "busy") for wait in waits), final[kind]]
        interfere, self.desk.queue.interfere = self.desk.queue.interfere, no_faults
        self.desk.queue.send([Message(json.dumps(job_fields(job_id=job_id)))] * copies)
        self.desk.queue.interfere = interfere

    @precondition(lambda self: self.desk.queue.interfere is not away)
    @rule(maximum=st.integers(1, 10), settles=st.booleans())
    def receive(self, maximum: int, *, settles: bool) -> None:
        """What is there comes, for the first time or again; it may be concluded at once."""
        held = self.desk.receive_some(maximum)
        self.received += len(held)
        self.unsettled += held
        while settles and self.unsettled:
            self._conclude(_job_id(self.unsettled[0]))

    @precondition(lambda self: self.unsettled)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """A job in hand is concluded, with the copies of it that are in hand too."""
        self._conclude(_job_id(data.draw(st.sampled_from(self.unsettled))))

    def _conclude(self, job_id: str) -> None:
        held = [one for one in self.unsettled if _job_id(one) == job_id]
        self.unsettled = [one for one in self.unsettled if one not in held]
        plan = self.plans[job_id]
        conclusion = plan.pop(0) if len(plan) > 1 else plan[0]
        self.desk.settler.settle(held, conclusion, Facts(identity_for(held[0])))

    @precondition(lambda self: self._busy_stages())
    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        """A stage does a batch, as well as the queues let it."""
        self._step(data.draw(st.sampled_from(self._busy_stages())))

    def _busy_stages(self) -> list[str]:
        return [stage for stage in STAGES if self.desk.has_work(stage)]

    def _step(self, stage: str) -> None:
        with capture_logs() as lines:
            self.desk.step(stage)
        self.left += sum(line["event"].startswith("job.") for line in lines)

    @precondition(lambda self: self._busy_stages())
    @rule(data=st.data(), faults=FAULTS)
    def step_with_refusals(self, data: st.DataObject, faults: list[Fault | None]) -> None:
        """A queue that is there refuses entries of what it is sent."""
        queues = [self.desk.response, self.desk.failure, self.desk.queue]
        before = [queue.interfere for queue in queues]

        def refuse(action: str, batch: Sequence[Any]) -> Faults:
            self.desk.check_not_lost(action, batch)
            return refusing(*faults)(action, batch) if action == "send" else {}

        for queue in queues:
            if queue.interfere is not away:
                queue.interfere = refuse
        self._step(data.draw(st.sampled_from(self._busy_stages())))
        for queue, interfere in zip(queues, before, strict=True):
            queue.interfere = interfere

    @rule(name=st.sampled_from(["response", "failure", "queue"]))
    def go_away(self, name: str) -> None:
        """A queue is away from now on."""
        getattr(self.desk, name).interfere = away

    @rule()
    def come_back(self) -> None:
        """All queues are there again."""
        self._set_all_well()

    @rule(seconds=st.sampled_from([1.0, 25.0, 70.0, 4000.0]), keeps=st.booleans())
    def pass_time(self, seconds: float, *, keeps: bool) -> None:
        """Leases end, unless the lease keeper had its turn in time, and the queue let it."""
        self.desk.time.pass_time(seconds)
        if keeps:
            with capture_logs():
                self.desk.leases.extend_due()

    @invariant()
    def nothing_vanishes(self) -> None:
        """A job whose message is gone is done: its answer was accepted, and its dead letter."""
        there = {
            json.loads(stored.message.body)["job_id"]
            for stored in self.desk.place.queues["requests"].values()
        }
        for job_id in self.plans.keys() - there:
            assert self._is_done(job_id), f"{job_id} was acked before it was done"

    def _is_done(self, job_id: str) -> bool:
        final = self.plans[job_id][-1]
        answered = self._first("response", f'"{job_id}"')
        buried = self._first("failure", json.dumps(job_fields(job_id=job_id)))
        if isinstance(final, Answer) and final.dead_letter:
            return answered is not None and buried is not None and answered < buried
        if isinstance(final, Answer):
            return answered is not None
        return buried is not None or isinstance(final, Discard)

    def _first(self, queue: str, body: str) -> int | None:
        accepted = enumerate(self.desk.place.journal)
        return next((place for place, deed in accepted if deed == (queue, "send", body)), None)

    @invariant()
    def the_room_counts_what_is_in_hand(self) -> None:
        """Each delivery leaves once, with one line."""
        assert self.desk.room.taken == self.received - self.left

    def teardown(self) -> None:
        """When all queues are there, everything is done in the end, and nothing is left in hand."""
        self._set_all_well()
        for _ in range(ENOUGH_ROUNDS):
            if not self.desk.place.queues["requests"] and not self.desk.room.taken:
                break
            self._do_everything()
            self.desk.time.pass_time(LEASE_SECONDS / 3)
            if not self.desk.room.taken:
                self.desk.time.pass_time(12 * 3600)
        self.nothing_vanishes()
        assert all(self._is_done(job_id) for job_id in self.plans)
        assert self.desk.place.queues["requests"] == {}
        assert (self.desk.room.taken, self.desk.leases.in_hand()) == (0, [])

    def _do_everything(self) -> None:
        self.receive(10, settles=True)
        for stage in STAGES:
            self._step(stage)
        with capture_logs():
            self.desk.leases.extend_due()


def _job_id(held: Held) -> str:
    return str(json.loads(held.delivery.body)["job_id"])


TestLife = Life.TestCase
TestLife.settings = hypothesis_settings(max_examples=80, stateful_step_count=40)
