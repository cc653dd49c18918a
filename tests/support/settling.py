"""A settler over queues in memory, moved by hand, for the tests of what it sends and when."""

import itertools
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from config.settings import Settings
from tests.support.fakes import ManualTime, MemoryStore
from tests.support.jobs import envelope_of, held_of, job_fields
from tests.support.memory_queue import Interfere, MemoryPlace, MemoryTransport
from worker.conclusion import Answer, Conclusion, Reason
from worker.envelope import Identity, identity_of
from worker.facts import Facts
from worker.held import Held, Room
from worker.leases import Leases
from worker.letters import Letters
from worker.settler import Outlets, Settler
from worker.transports.base import Fault, Faults, Message

STAGES = ("results", "dead-letters", "releases", "acks")
REASON = Reason("schema_defect", "A table is missing.", 5)
SETTINGS = Settings.model_validate(
    {"queues": {"request": ["sqs://a"], "response": "sqs://b", "failure": "sqs://c"}}
)


class Hands:
    """Moves a settler's stages, which have no threads here, one batch at a time."""

    def __init__(self, settler: Settler) -> None:
        self._settler = settler
        self._again: dict[str, list[Any]] = {name: [] for name in STAGES}

    def has_work(self, name: str) -> bool:
        """Whether something waits before a stage."""
        return bool(self._again[name]) or self._settler.stages()[name].depth() > 0

    def step(self, name: str) -> None:
        """Let one stage send one batch, if it has any."""
        if self.has_work(name):
            stage = self._settler.stages()[name]
            stage._hurried = True
            self._again[name] = stage._turn(self._again[name])

    def run(self, rounds: int = 20) -> None:
        """Let every stage send what it can."""
        for _ in range(rounds):
            for name in STAGES:
                self.step(name)


class Office:
    """A settler over queues in memory, whose stages are moved by hand, one batch at a time."""

    def __init__(self, bucket: str | None = None) -> None:
        self.time = ManualTime()
        self.place = MemoryPlace(clock=lambda: self.time.clock.now().timestamp())
        self.requests = [self.place.transport("requests"), self.place.transport("more-requests")]
        self.response, self.failure = self.place.transport("response"), self.place.transport("failure")
        self.room = Room(10**6, None, lambda: None, lambda: None)
        self.leases = Leases(10**6, self.time.clock)
        self.store = MemoryStore()
        letters = Letters(self.store, bucket, "host:1", self.time.clock)
        outlets = Outlets(self.response, self.failure)
        self.settler = Settler(outlets, letters, SETTINGS, self.leases, self.room, self.time.clock)
        hands = Hands(self.settler)
        self.has_work, self.step, self.run = hands.has_work, hands.step, hands.run
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
