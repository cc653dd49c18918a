"""The failure queue's commands against a model: nothing is lost, doubled or left hidden, whatever happens."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from config.headers import OwnHeader, read_own_header
from config.settings import Settings
from tests.support.fakes import ManualTime, MemoryStore
from tests.support.memory_queue import MemoryPlace, away, no_faults
from tests.support.site import dead_letter
from worker.cli.failed_choice import Choice, Filters
from worker.cli.failed_messages import FailedMessage
from worker.cli.failed_queue import LEASE, Search, Taking
from worker.cli.failed_retrier import Retrier, Targets
from worker.letters import Letters
from worker.transports.base import Faults, Transport, TransportError

SETTINGS = Settings.model_validate(
    {"queues": {"request": ["sqs://requests"], "response": "sqs://b", "failure": "sqs://failures"}}
)
CODES = st.sampled_from(["handler_error", "schema_defect"])
MAXIMA = st.none() | st.integers(1, 15)


class OneTarget(Targets):
    """All messages go to one queue in memory."""

    def __init__(self, queue: Transport) -> None:
        self._queue = queue

    def of(self, origin: str | None) -> Transport:
        """The queue."""
        del origin
        return self._queue


class Killed(BaseException):
    """The process ends here."""


def killed_at_ack(action: str, batch: Sequence[object]) -> Faults:
    """Kill the process before it deletes."""
    del batch
    if action == "ack":
        raise Killed
    return {}


class FailureQueue(RuleBasedStateMachine):
    """Operators retry and remove, while messages come, a queue is away and processes are killed."""

    def __init__(self) -> None:
        super().__init__()
        self.time = ManualTime()
        place = MemoryPlace(clock=lambda: self.time.seconds)
        self.failures, self.requests = place.transport("failures"), place.transport("requests")
        letters = Letters(MemoryStore(), None, "test", self.time.clock)
        self.retrier = Retrier(SETTINGS, letters, OneTarget(self.requests), too_old=False, dry_run=False)
        self.failed: dict[str, str] = {}
        self.sent: Counter[str] = Counter()
        self.count = 0

    @rule(code=CODES, count=st.integers(1, 13))
    def messages_fail(self, code: str, count: int) -> None:
        """Some more of one code."""
        for _ in range(count):
            self.count += 1
            job_id = f"job-{self.count}"
            header = OwnHeader(run=1, code=code, answered=True, first_sent_at=self.time.clock.now())
            self.failures.send([dead_letter(json.dumps({"job_id": job_id}), header)])
            self.failed[job_id] = code

    @rule(code=CODES, maximum=MAXIMA)
    def some_are_retried(self, code: str, maximum: int | None) -> None:
        """All of a code, or as many as were asked for."""
        self.pass_over(code, maximum, self.retry)

    @rule(code=CODES, maximum=MAXIMA)
    def some_are_removed(self, code: str, maximum: int | None) -> None:
        """The same."""
        self.pass_over(code, maximum, self.remove)

    @rule(code=CODES, batches=st.integers(0, 2))
    def the_request_queue_goes_away(self, code: str, batches: int) -> None:
        """Something was sent before, or nothing."""
        left = [batches]

        def retry_for_a_while(batch: list[FailedMessage], taking: Taking) -> None:
            if not left[0]:
                self.requests.interfere = away
            left[0] -= 1
            self.retry(batch, taking)

        with suppress(TransportError):
            self.pass_over(code, None, retry_for_a_while)
        self.requests.interfere = no_faults

    @rule(code=CODES)
    def the_process_is_killed_between_sending_and_deleting(self, code: str) -> None:
        """What was sent is still there; what was held comes back with the leases' end."""
        self.failures.interfere = killed_at_ack
        taking = Taking(self.failures, self.time.clock, timedelta())
        with suppress(Killed):
            for batch in Search(SETTINGS, taking, Choice((), Filters(code))).batches():
                self.sent.update(str(message.job_id) for message in batch)
                list(self.retrier.retry(batch, taking))
        self.failures.interfere = no_faults
        self.time.pass_time(LEASE.total_seconds() + 1)

    @invariant()
    def every_message_is_where_it_belongs_and_can_be_seen(self) -> None:
        """Nothing is lost or left hidden."""
        waiting = [json.loads(delivery.body)["job_id"] for delivery in self.failures.browse(10_000)]
        assert Counter(waiting) == Counter(self.failed.keys())
        assert self.failures.depth().leased == 0

    @invariant()
    def what_was_sent_was_sent_as_often_as_was_asked_and_always_in_the_same_run(self) -> None:
        """Copies ask for one run, so the inbox joins them."""
        sent = self.requests.browse(10_000)
        assert Counter(json.loads(delivery.body)["job_id"] for delivery in sent) == self.sent
        assert {read_own_header(delivery.headers).run for delivery in sent} <= {2}

    def pass_over(
        self, code: str, maximum: int | None, act: Callable[[list[FailedMessage], Taking], None]
    ) -> None:
        """One command; between its batches more time passes than a lease has."""
        fitting = sum(one == code for one in self.failed.values())
        met = 0
        with Taking(self.failures, self.time.clock, timedelta()) as taking:
            for batch in Search(SETTINGS, taking, Choice((), Filters(code), maximum)).batches(7):
                met += len(batch)
                taking.pause(LEASE.total_seconds() * 2)
                assert self.failures.depth().leased >= len(batch), "somebody else could take what is in hand"
                act(batch, taking)
        assert met == (fitting if maximum is None else min(fitting, maximum))

    def retry(self, batch: list[FailedMessage], taking: Taking) -> None:
        """Send a batch again; the queues take all of it."""
        assert [line.error for line in self.retrier.retry(batch, taking)] == [None] * len(batch)
        for message in batch:
            self.sent[str(message.job_id)] += 1
            del self.failed[str(message.job_id)]

    def remove(self, batch: list[FailedMessage], taking: Taking) -> None:
        """Delete a batch."""
        assert taking.settle([message.delivery for message in batch]) == {}
        for message in batch:
            del self.failed[str(message.job_id)]


TestFailureQueue = FailureQueue.TestCase
TestFailureQueue.settings = settings(max_examples=60, stateful_step_count=20)
