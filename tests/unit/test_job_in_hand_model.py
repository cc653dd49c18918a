"""A job in hand under every order of events and many threads: it concludes once and rightly."""

import threading

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.job_stage import SOON, TAKEN, VERDICTS, Stage, answer_of, failure, success
from tests.support.jobs import held_of, job_fields
from worker.conclusion import Answer, Bury, Discard, Return
from worker.job_in_hand import PARTS_IN_LANES_MAXIMUM, shutdown_deferral


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


class JobMachine(RuleBasedStateMachine):
    """Parts end in every way and order, copies join, the worker stops: one conclusion, never two."""

    @initialize(customers=st.sampled_from([1, 2, 5, 70]), refused=st.booleans())
    def begin(self, customers: int, refused: bool) -> None:  # noqa: FBT001 - hypothesis names it
        """A job of any size, in lanes that take or refuse."""
        self.stage = Stage(customers, answer=SOON if refused else TAKEN)
        self.refused = refused
        self.started = self.stopped = False
        self.ended: set[int] = set()
        self.ends: list[str] = []
        self.joined = 1

    def _running(self) -> list[int]:
        return [p.request.part_no for p in self.stage.offered if p.request.part_no not in self.ended]

    @precondition(lambda self: not self.started)
    @rule()
    def start(self) -> None:
        """The preparation is over."""
        self.started = True
        self.stage.start()

    @precondition(lambda self: self._running())
    @rule(data=st.data(), how=st.sampled_from(["success", "failure", *VERDICTS]))
    def end_part(self, data: st.DataObject, how: str) -> None:
        """A worker thread reports a part."""
        part_no = data.draw(st.sampled_from(self._running()))
        part = self.stage.job.parts[part_no]
        self.ended.add(part_no)
        self.ends.append(how)
        if how in VERDICTS:
            VERDICTS[how](part)
        else:
            self.stage.end(part_no, success(part) if how == "success" else failure(part))

    @rule()
    def abandon(self) -> None:
        """The worker stops: its lanes are closed first."""
        self.stopped = True
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
        """Once; before its start never."""
        is_over = self.started and not self._running()
        assert len(self.stage.concluded) == is_over
        assert len(self._running()) <= PARTS_IN_LANES_MAXIMUM

    @invariant()
    def it_tells_how_far_it_is(self) -> None:
        """The parts with an outcome; those that found their shard away are named, in the job's order."""
        with_outcome = sum(how in {"success", "failure"} for how in self.ends)
        standing = self.stage.job.standing(away=())
        assert (standing.done, standing.total) == (with_outcome, len(self.stage.job.parts))
        assert standing.waiting == ()
        assert self.stage.job.concluded is bool(self.stage.concluded)

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
