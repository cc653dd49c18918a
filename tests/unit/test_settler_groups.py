"""The settler and ordered queues: what is sent anew, what goes back first, and when the next one goes on."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.job_stage import Stage
from tests.support.settling import REASON, Office, answer, identity_for
from worker.conclusion import Answer, Bury, Conclusion, Discard, Return
from worker.events import unknown_fields
from worker.facts import Facts
from worker.groups import Groups
from worker.held import Held

DAY = timedelta(days=1)


class OrderedOffice(Office):
    """An office whose request queue keeps order; `started` is what groups let go on."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: Any = self.requests[1]
        self.queue.is_ordered = True
        self.started: list[Held] = []
        groups = Groups()
        groups.connect(self.started.append, self.settler.give_back)
        self.settler.tell(groups)
        self.groups = groups

    def line(self, count: int) -> list[Held]:
        """Receive so many messages of one group."""
        received = [one for _ in range(count) for one in self.receive()]
        for one in received:
            one.delivery = replace(one.delivery, group="chain")
        self.groups.put(received)
        return received

    def conclude(self, held: Held, conclusion: Conclusion) -> None:
        """Settle one as it was concluded."""
        self.settler.settle([held], conclusion, Facts(identity_for(held)))

    def released(self) -> list[str]:
        """The ids of what was given back, in order."""
        return [deed.subject for deed in self.place.journal if deed.action == "release"]


@pytest.fixture
def office(monkeypatch: pytest.MonkeyPatch) -> OrderedOffice:
    office = OrderedOffice()
    monkeypatch.setattr(office, "requests", [office.queue, office.queue])
    return office


@pytest.mark.parametrize("conclusion", [answer(), answer(REASON), Discard("superseded")])
def test_the_next_goes_on_when_what_the_inbox_keeps_was_told(
    office: OrderedOffice, conclusion: Conclusion
) -> None:
    """Result and dead letter are accepted; the ack need not be."""
    first, second = office.line(2)
    office.conclude(first, conclusion)
    assert office.started == ([first, second] if isinstance(conclusion, Discard) else [first])
    office.step("results")
    office.step("dead-letters")
    assert office.started == [first, second]
    assert not office.place.did("ack")


@pytest.mark.parametrize("conclusion", [Answer("rejected", "{}", REASON), Bury(REASON)])
def test_the_next_waits_for_the_ack_of_what_no_inbox_keeps(
    office: OrderedOffice, conclusion: Conclusion
) -> None:
    """A refused job is judged anew when it comes again."""
    first, second = office.line(2)
    office.conclude(first, conclusion)
    office.step("results")
    office.step("dead-letters")
    assert office.started == [first]
    office.step("acks")
    assert office.started == [first, second]


def test_the_next_waits_for_the_ack_of_a_job_with_a_customer_that_has_no_inbox(office: OrderedOffice) -> None:
    """Gone or unknown, it may be there again when the job comes once more: that part would run then."""
    first, second = office.line(2)
    there, gone, _ = Stage().job.parts
    gone.placement = None
    office.settler.settle([first], answer(), Facts(identity_for(first), (there, gone)))
    office.step("results")
    assert office.started == [first]
    office.step("acks")
    assert office.started == [first, second]


def test_what_is_behind_a_released_head_goes_back_before_it_from_the_end(office: OrderedOffice) -> None:
    """Uncounted, with a code of its own; the head alone has the delay."""
    line = office.line(3)
    with capture_logs() as lines:
        office.conclude(line[0], Return(timedelta(seconds=30), "shard_away"))
        office.run()
    assert office.released() == [one.delivery.message_id for one in reversed(line)]
    told = [(one["error_code"], one["attempt"], one["delay_ms"]) for one in lines]
    assert told == [("group_waits", 0, 0.0), ("group_waits", 0, 0.0), ("shard_away", 0, 30_000.0)]
    assert office.started == [line[0]]
    assert office.room.failures == 0


def test_no_result_waits_for_those_that_wait_for_it(office: OrderedOffice) -> None:
    """What is behind a head brings no result before the head's is accepted; another group's head may."""
    is_lingered_for = office.settler.stages()["results"]._pace.expecting
    first, _ = office.line(2)
    assert is_lingered_for()
    office.conclude(first, answer())
    assert not is_lingered_for()
    office.receive()
    assert is_lingered_for()


def test_a_head_whose_lease_is_lost_lets_nothing_go_on(office: OrderedOffice) -> None:
    """The queue hands it out again, before what is here."""
    first, second = office.line(2)
    first.lost.set()
    office.conclude(first, answer())
    office.run()
    assert office.started == [first]
    assert office.released() == [second.delivery.message_id]


@pytest.mark.parametrize(("age", "told"), [(7 * DAY, 0), (8 * DAY, 1)])
def test_nothing_is_sent_anew_and_an_error_tells_of_what_gets_old(
    office: OrderedOffice, age: timedelta, told: int
) -> None:
    """Released for as long as SQS grants; past half the retention the alarm says what to do."""
    office.queue.kept = 14 * DAY
    (held,) = office.line(1)
    held.delivery = replace(held.delivery, sent_at=office.time.clock.now() - age)
    with capture_logs() as lines:
        office.conclude(held, Return(timedelta(hours=20), "retry_requested", 1))
        office.run()
    assert office.released() == [held.delivery.message_id]
    assert len([deed for deed in office.place.journal if deed.action == "send"]) == 1
    alarms = [line for line in lines if line["event"] == "queue.aging"]
    assert len(alarms) == told
    for line in alarms:
        assert line["log_level"] == "error"
        assert "8.0 days of the 14" in line["msg"]
        assert not unknown_fields("queue.aging", frozenset(line) - {"log_level", "event"})
