"""The run: sends the plan's messages, lets its events happen, waits until all is quiet; then the audit."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.soak.audit import Finding, audit
from tests.soak.case import Case, Letter
from tests.soak.facts import Facts
from tests.soak.faults import Faults
from tests.soak.plan import CALM_AFTER, Plan
from tests.soak.queues import FAILURES, RESPONSES
from tests.soak.world import World, soak_world
from tests.support.sqs_queue import StoredMessage

TICK_SECONDS: Final = 0.05
ON_THEIR_WAY_MAXIMUM: Final = 500
PATIENCE_SECONDS: Final = 180.0
TOLD_EVERY_SECONDS: Final = 15.0
LULL_SECONDS: Final = 5.0
LONG_SECONDS: Final = 300.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What came of a soak. `hangs` tells what did not end in time, empty where all did."""

    findings: list[Finding]
    facts: Facts
    events: dict[str, int]
    troubles: dict[str, int]
    ends: dict[str, int]
    unexpected_ends: list[str]
    hangs: str
    seconds: float


class Run:
    """One run of a plan in a world."""

    def __init__(self, plan: Plan, world: World, say: Say) -> None:
        self.facts = Facts()
        self.faults = Faults(plan.events, world.workers, world.databases)
        self._plan = plan
        self._world = world
        self._say = say
        self._ended: set[str] = set()
        self._unanswerable = {case.bodies[0] for case in plan.cases if not case.is_answered}
        self._next = 0
        self._moved_at = self._told_at = self._hurried_at = time.monotonic()
        self._last_state: tuple[int, ...] = ()

    def until_quiet(self) -> str:
        """Send all, let all happen, and wait for the end; what hangs if it does not come."""
        at_peace = False
        while not self._is_quiet:
            self._tick()
            if not at_peace and self._is_nearly_done and self.faults.are_over:
                self._world.make_peace()
                at_peace = True
            if at_peace:
                self._hurry()
            if time.monotonic() - self._moved_at > PATIENCE_SECONDS:
                return self._what_hangs()
            time.sleep(TICK_SECONDS)
        return ""

    @property
    def _is_all_sent(self) -> bool:
        return self._next == len(self._plan.stream)

    @property
    def _is_nearly_done(self) -> bool:
        return self._is_all_sent and len(self._ended) >= len(self._plan.cases) * CALM_AFTER

    @property
    def _is_quiet(self) -> bool:
        return self._is_all_sent and self.faults.are_over and not self._world.queues.requests.messages

    def _tick(self) -> None:
        self._world.workers.keep()
        self.take_results()
        self._send()
        self.faults.happen(len(self._ended))
        self._note_progress()

    def take_results(self) -> None:
        """Take what lies on the response and the failure queue."""
        bodies = [message.body for message in self._world.queues.take(RESPONSES)]
        self.facts.note_results(bodies)
        letters = list(map(_letter, self._world.queues.take(FAILURES)))
        self.facts.letters.update(letters)
        self._ended.update(self.facts.finals)
        self._ended.update(letter.body for letter in letters if letter.body in self._unanswerable)

    def _send(self) -> None:
        room = ON_THEIR_WAY_MAXIMUM - len(self._world.queues.requests.messages)
        for sending in self._plan.stream[self._next : self._next + max(0, room)]:
            case = self._plan.cases[sending.case]
            self._world.buckets.objects.update(case.objects)
            self._world.queues.send(case.bodies[sending.body])
            self._next += 1

    def _note_progress(self) -> None:
        now = time.monotonic()
        facts = self.facts
        state = (
            self._next,
            len(self._ended),
            facts.letters.total(),
            len(self._world.queues.requests.messages),
        )
        if state != self._last_state or not self.faults.are_over:
            self._last_state, self._moved_at = state, now
        if now - self._told_at > TOLD_EVERY_SECONDS:
            self._told_at = now
            happened = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.counts.items()))
            ended = f"{len(self._ended):,} of {len(self._plan.cases):,} ended"
            self._say(f"{ended}, {state[-1]} messages queued; {happened}")

    def _hurry(self) -> None:
        """Let pass what a message waits for at the end: some do for minutes, after many tries in vain."""
        now = time.monotonic()
        if now - max(self._moved_at, self._hurried_at) > LULL_SECONDS:
            self._hurried_at = now
            self._world.queues.let_pass(LONG_SECONDS)

    def _what_hangs(self) -> str:
        waiting = [case for case in self._plan.cases if not self._has_ended(case)]
        names = ", ".join(f"{case.job_id or case.bodies[0]} ({case.kind})" for case in waiting[:10])
        left = list(self._world.queues.requests.messages.values())
        return (
            f"nothing moved for {PATIENCE_SECONDS:.0f} s: {len(waiting)} cases not ended: {names}; "
            f"{len(left)} messages on the request queue: {_told_messages(left)}"
        )

    def _has_ended(self, case: Case) -> bool:
        return bool(self._ended & {case.job_id, *case.bodies})


def soak(plan: Plan, directory: Path, say: Say, bend: str | None = None) -> Outcome:
    """Run the plan in an empty directory, with bent workers perhaps, and audit what it leaves."""
    began = time.monotonic()
    with soak_world(directory, plan, bend) as world:
        run = Run(plan, world, say)
        try:
            hangs = run.until_quiet()
            run.faults.finish()
            world.workers.leave()
        finally:
            run.faults.close()
        run.take_results()
        run.facts.left = len(world.queues.requests.messages)
        run.facts.look(world.databases)
        troubles = world.queues.troubles + world.queues.requests.counts + world.buckets.troubles
        return Outcome(
            audit(plan.cases, run.facts),
            run.facts,
            dict(run.faults.counts),
            dict(troubles),
            dict(world.workers.ends),
            world.workers.unexpected,
            hangs,
            time.monotonic() - began,
        )


def _letter(message: StoredMessage) -> Letter:
    return Letter(message.body, json.loads(message.attributes["Shardworker"]["StringValue"])["code"])


def _told_messages(messages: Iterable[StoredMessage]) -> str:
    return "; ".join(f"{one.body[:60]}… received {one.receive_count} times" for one in list(messages)[:10])
