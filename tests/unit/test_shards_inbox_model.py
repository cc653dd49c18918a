"""The inbox against a model: any sequence of writes, runs and contents keeps its promises."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import Connection

from shards.inbox import (
    BrokenTransaction,
    ContentConflict,
    InboxRow,
    Outcome,
    PartIdentity,
    Superseded,
)
from shards.parts import find_outcomes
from tests.support.parts import (
    DIGEST,
    OTHER_DIGEST,
    identity,
    insert_order,
    order_numbers,
    sqlite_shard,
    store_on,
)

MAX_ATTEMPTS = 3
MAX_STARTS = 2
runs = st.integers(1, 4)
digests = st.sampled_from([DIGEST, DIGEST, DIGEST, OTHER_DIGEST])


@dataclass(frozen=True)
class Model:
    """What the inbox must know of the part: the simplest thing that can be true."""

    run: int
    digest: str
    attempt: int = 0
    starts: int = 0
    broken: bool = False
    outcome: Outcome | None = None


class HandlerMishap(Exception):
    """A handler's own error."""


class InboxMachine(RuleBasedStateMachine):
    """One part, written by many hands one after the other."""

    @initialize()
    def start(self) -> None:
        """An empty inbox."""
        self.directory = Path(tempfile.mkdtemp())
        self.shard = sqlite_shard(self.directory, limit=1)
        self.store = store_on(self.shard)
        self.model: Model | None = None
        self.effects: list[int] = []
        self.works = 0

    def teardown(self) -> None:
        """Remove the shard."""
        self.shard.close()
        shutil.rmtree(self.directory)

    def expected(
        self, part: PartIdentity, change: Callable[[Model], Model], *, take_broken: bool = False
    ) -> type[Exception] | Outcome | None:
        """What a write must answer, `None` for its own; the model moves on where the write takes effect."""
        known = self.model or Model(part.run, part.digest)
        if known.digest != part.digest:
            return ContentConflict
        if known.run > part.run:
            return Superseded
        if known.broken and not take_broken:
            return BrokenTransaction
        if known.outcome and (known.outcome.state == "succeeded" or known.outcome.run == part.run):
            return known.outcome
        fresh = Model(part.run, part.digest)
        self.model = change(known if known.run == part.run else fresh)
        return self.model.outcome

    def check(
        self,
        part: PartIdentity,
        write: Callable[[], object],
        change: Callable[[Model], Model],
        *,
        take_broken: bool = False,
    ) -> object:
        """Write, and compare the answer with the model's."""
        expected = self.expected(part, change, take_broken=take_broken)
        if isinstance(expected, type):
            with pytest.raises(expected):
                write()
            return None
        answer = write()
        if expected is not None:
            assert answer == expected
        return answer

    @rule(run=runs, digest=digests)
    def run_part(self, run: int, digest: str) -> None:
        """A delivery whose handler succeeds."""
        part = identity(run=run, digest=digest)
        self.works += 1
        number, body = self.works, b"run %d" % self.works

        def work(connection: Connection) -> bytes:
            insert_order(connection, number)
            return body

        def change(model: Model) -> Model:
            self.effects.append(number)
            return replace(model, broken=False, outcome=Outcome("succeeded", run, body))

        self.check(part, lambda: self.store.run(part, work), change)

    @rule(run=runs, digest=digests)
    def run_part_that_raises(self, run: int, digest: str) -> None:
        """A delivery whose handler fails: nothing of it may be seen."""
        part = identity(run=run, digest=digest)

        def work(connection: Connection) -> bytes:
            insert_order(connection, 1_000_000)
            raise HandlerMishap

        before = self.model
        expected = self.expected(part, lambda model: model)
        self.model = before
        if isinstance(expected, Outcome):
            assert self.store.run(part, work) == expected
            return
        with pytest.raises(expected or HandlerMishap):
            self.store.run(part, work)

    @rule(run=runs, digest=digests)
    def run_part_that_commits(self, run: int, digest: str) -> None:
        """A delivery whose handler ends the transaction itself: its effect stays, and is never repeated."""
        part = identity(run=run, digest=digest)
        self.works += 1
        number = self.works

        def work(connection: Connection) -> bytes:
            insert_order(connection, number)
            connection.exec_driver_sql("COMMIT")
            return b""

        def change(model: Model) -> Model:
            self.effects.append(number)
            return replace(model, broken=True, outcome=None)

        expected = self.expected(part, change)
        if isinstance(expected, Outcome):
            assert self.store.run(part, work) == expected
            return
        with pytest.raises(expected or BrokenTransaction):
            self.store.run(part, work)

    @rule(run=runs, digest=digests, dead_letter=st.booleans())
    def fail(self, run: int, digest: str, *, dead_letter: bool) -> None:
        """A worker that records a failure."""
        part = identity(run=run, digest=digest)
        self.check(
            part,
            lambda: self.store.fail(part, b"failed", dead_letter=dead_letter),
            lambda model: replace(model, outcome=Outcome("failed", run, b"failed", dead_letter)),
        )

    @rule(run=runs, digest=digests)
    def fail_broken(self, run: int, digest: str) -> None:
        """A worker that records a broken transaction."""
        part = identity(run=run, digest=digest)
        outcome = Outcome("failed", run, b"broken", dead_letter=True)
        self.check(
            part,
            lambda: self.store.fail_broken(part, b"broken"),
            lambda model: replace(model, broken=False, outcome=outcome),
            take_broken=True,
        )

    @rule(run=runs, digest=digests)
    def count_attempt(self, run: int, digest: str) -> None:
        """A worker whose handler failed transiently."""
        part = identity(run=run, digest=digest)

        def change(model: Model) -> Model:
            attempt = model.attempt + 1
            body = b"exhausted %d" % attempt
            outcome = Outcome("failed", run, body, dead_letter=True) if attempt >= MAX_ATTEMPTS else None
            return replace(model, attempt=attempt, starts=max(0, model.starts - 1), outcome=outcome)

        answer = self.check(
            part,
            lambda: self.store.count_attempt(part, MAX_ATTEMPTS, lambda count: b"exhausted %d" % count),
            change,
        )
        if isinstance(answer, int):
            assert self.model is not None
            assert answer == self.model.attempt

    @rule(run=runs, digest=digests)
    def count_start(self, run: int, digest: str) -> None:
        """A worker that is about to start a suspect part."""
        part = identity(run=run, digest=digest)

        def change(model: Model) -> Model:
            if model.starts >= MAX_STARTS:
                return replace(model, outcome=Outcome("failed", run, b"killed", dead_letter=True))
            return replace(model, starts=model.starts + 1, outcome=None)

        self.check(part, lambda: self.store.count_start(part, MAX_STARTS, b"killed"), change)

    @rule(run=runs, digest=digests)
    def take_back_start(self, run: int, digest: str) -> None:
        """A worker that did not come to run the part after all."""
        part = identity(run=run, digest=digest)
        before = self.model

        def change(model: Model) -> Model:
            return replace(model, starts=max(0, model.starts - 1), outcome=None)

        expected = self.expected(part, change)
        if isinstance(expected, type):
            with pytest.raises(expected):
                self.store.take_back_start(part)
            return
        self.store.take_back_start(part)
        if expected is not None:
            assert self.model == before

    @invariant()
    def the_effects_are_those_of_the_outcomes(self) -> None:
        """What is committed is what the model saw committed: nothing twice, nothing half."""
        assert order_numbers(self.shard) == self.effects

    @invariant()
    def the_row_is_the_model_s(self) -> None:
        """Run, counts, outcome: the row tells the same story."""
        row = find_outcomes(self.shard, None, "job-1", ["c-1"]).get("c-1")
        assert (row and as_model(row)) == self.model


def as_model(row: InboxRow) -> Model:
    """The row as the model tells it."""
    broken = row.state.value == "claimed"
    return Model(row.run, row.digest, row.attempt, row.starts, broken, row.found_outcome())


InboxMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
TestInbox = InboxMachine.TestCase
