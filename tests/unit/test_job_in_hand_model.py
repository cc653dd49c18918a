"""A job in hand under every order of events and many threads: it concludes once and rightly."""

import threading
from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.job_stage import SOON, TAKEN, VERDICTS, Stage, answer_of, failure, success
from tests.support.jobs import held_of, job_fields
from worker.conclusion import Answer, Bury, Deferral, Discard, Return
from worker.job_in_hand import Part, shutdown_deferral
from worker.part_feed import PARTS_IN_LANES_MAXIMUM

HANGING_SHARD_MAXIMUM = 16


def test_parts_that_end_in_many_threads_conclude_once() -> None:
    """All at the same moment."""
    stage = Stage(64)
    stage.start()
    barrier = threading.Barrier(64)

    def end(part_no: int) -> None:
        barrier.wait()
        stage.end(part_no)

    threads = [threading.Thread(target=end, args=(part_no,)) for part_no in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answer_of(stage).status == "succeeded"


def shard_of(part: Part) -> str:
    """Where the part runs."""
    assert part.placement is not None
    return part.placement.shard


class JobMachine(RuleBasedStateMachine):
    """Parts end in every way and order, copies join, the worker stops: one conclusion, never two.

    Some parts may be held back at first, until their inbox was looked at.
    """

    @initialize(
        customers=st.sampled_from([1, 2, 5, 100]),
        shards=st.sampled_from([1, 2, 20]),
        refused=st.booleans(),
        looks=st.booleans(),
    )
    def begin(self, customers: int, shards: int, refused: bool, looks: bool) -> None:  # noqa: FBT001 - see rule
        """A job of any size, in lanes that take or refuse."""
        self.stage = Stage(customers, answer=SOON if refused else TAKEN, shards=shards)
        self.looks = looks
        self.started = self.stopped = False
        self.held_back: list[Part] = []
        self.untold: set[Part] = set(self.stage.job.parts)
        self.ended: set[Part] = set()
        self.ends: list[str] = []
        self.joined = 1

    def _running(self) -> list[Part]:
        return [part for part in self.stage.offered if part not in self.ended]

    def _offer(self, part: Part) -> Deferral | None:
        """The lanes; no shard ever gets more than its share while another one's parts wait for their turn."""
        self.untold.remove(part)
        answer = self.stage.offer(part)
        out = Counter(map(shard_of, self._running()))
        if {shard_of(other) for other in self.untold} - {shard_of(part)}:
            assert out[shard_of(part)] <= HANGING_SHARD_MAXIMUM
        return answer

    @precondition(lambda self: not self.started)
    @rule()
    def start(self) -> None:
        """The preparation is over."""
        self.started = True
        self.held_back = list(self.stage.job.parts[::2]) if self.looks else []
        self.stage.job.start(self._offer, self.held_back)

    @precondition(lambda self: self._running())
    @rule(data=st.data(), how=st.sampled_from(["success", "failure", *VERDICTS]))
    def end_part(self, data: st.DataObject, how: str) -> None:
        """A worker thread reports a part."""
        self._end(data.draw(st.sampled_from(self._running())), how)

    @precondition(lambda self: self.held_back)
    @rule(data=st.data(), how=st.sampled_from(["success", "failure", *VERDICTS]))
    def end_held_back(self, data: st.DataObject, how: str) -> None:
        """Its row says how it ended, or it could not be asked for; after a verdict nobody listens."""
        part = data.draw(st.sampled_from(self.held_back))
        self.held_back.remove(part)
        self.untold.discard(part)
        if self.stopped or self._has_verdict():
            how = "nothing"
            self.stage.job.part_ended(part, success(part))
        else:
            self._end(part, how)

    @precondition(lambda self: self.held_back)
    @rule(data=st.data())
    def let_go(self, data: st.DataObject) -> None:
        """Their rows say nothing final: they run, unless the job was ended meanwhile."""
        count = data.draw(st.integers(1, len(self.held_back)))
        going, self.held_back = self.held_back[:count], self.held_back[count:]
        self.stage.job.let_go(going)

    def _end(self, part: Part, how: str) -> None:
        self.ended.add(part)
        self.ends.append(how)
        if how in VERDICTS:
            VERDICTS[how](part)
        else:
            self.stage.job.part_ended(part, success(part) if how == "success" else failure(part))

    def _has_verdict(self) -> bool:
        return bool({"conflict", "superseded"} & set(self.ends))

    @rule()
    def abandon(self) -> None:
        """The worker stops: its lanes are closed first."""
        self.stopped = self.started
        self.stage.answer = shutdown_deferral()
        self.stage.job.abandon(shutdown_deferral())

    @rule()
    def join(self) -> None:
        """A copy comes."""
        joined = self.stage.job.join(held_of(job_fields()))
        assert joined is not bool(self.stage.concluded)
        self.joined += joined
        assert len(self.stage.job.held) == self.joined

    @invariant()
    def it_concludes_exactly_when_nothing_of_it_runs(self) -> None:
        """Once; before its start never, nor while a look is awaited, unless a verdict or a stop came."""
        waits_for_a_look = bool(self.held_back) and not self.stopped and not self._has_verdict()
        is_over = self.started and not self._running() and not waits_for_a_look
        assert len(self.stage.concluded) == is_over
        assert len(self._running()) <= PARTS_IN_LANES_MAXIMUM

    @invariant()
    def no_shard_waits_while_there_are_places(self) -> None:
        """One that has parts waiting for their turn has some in its lane, whatever the others' lanes hold."""
        if not self.started or self.stopped or self._has_verdict():
            return
        running = self._running()
        if len(running) < PARTS_IN_LANES_MAXIMUM:
            waiting = {shard_of(part) for part in self.untold.difference(self.held_back)}
            assert waiting <= {shard_of(part) for part in running}

    @invariant()
    def it_tells_how_far_it_is(self) -> None:
        """The parts with an outcome; none is said to wait for a shard that is away."""
        with_outcome = sum(how in {"success", "failure"} for how in self.ends)
        standing = self.stage.job.standing(away=())
        assert (standing.done, standing.total) == (with_outcome, len(self.stage.job.parts))
        assert standing.waiting == ()

    @invariant()
    def its_conclusion_is_the_weightiest_of_its_ends(self) -> None:
        """Conflict, then superseded, then any wait, then the answer."""
        if not self.stage.concluded:
            return
        (conclusion,) = self.stage.concluded
        if "conflict" in self.ends:
            assert isinstance(conclusion, Bury)
        elif "superseded" in self.ends:
            assert isinstance(conclusion, Discard)
        elif "deferral" in self.ends or len(self.ended) < len(self.stage.job.parts):
            assert isinstance(conclusion, Return)
        else:
            assert isinstance(conclusion, Answer)


TestJobMachine = JobMachine.TestCase
