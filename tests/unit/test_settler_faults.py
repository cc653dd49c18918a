"""The settler and faults: whatever a queue, a bucket or a lease does, no delivery is left behind."""

import threading
from collections import Counter
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.support.memory_queue import LOST, REFUSED, THROTTLED, Interfere, away, no_faults
from tests.support.settling import REASON, Office, answer, refusing
from worker.conclusion import Bury, Conclusion, Discard, Return
from worker.facts import Facts
from worker.objects import ObjectNotAllowed, ObjectStoreUnavailable
from worker.transports.base import Fault


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


def test_a_queue_that_is_away_does_not_hold_up_the_acks_on_another() -> None:
    """However many wait for it, and though what is on the other came later."""
    office = Office()
    stuck = [office.take(f"{number}", office.requests[1]) for number in range(12)]
    office.requests[1].interfere = away
    for held in stuck:
        office.settler.settle([held], Discard("superseded"), Facts())
    office.run(3)
    office.settler.settle(office.receive(), Discard("superseded"), Facts())
    office.run(3)
    assert office.room.settled == 1
    office.requests[1].interfere = no_faults
    office.run()

    assert office.room.settled == 13
