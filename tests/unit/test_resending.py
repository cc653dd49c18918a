"""Re-sending: the copy is accepted first, then the original is acked; what cannot be sent is released."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.headers import OwnHeader, read_own_header
from tests.support.memory_queue import LOST, REFUSED, THROTTLED, Interfere, away, no_faults
from tests.support.settling import Office, identity_for, refusing
from worker.claim_check import content_mark
from worker.conclusion import Return
from worker.events import unknown_fields
from worker.facts import Facts
from worker.held import Held
from worker.transports.base import Delivery, Depth, Faults
from worker.waits import IN_FLIGHT_MAXIMUM

SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=count) for count in (1, 60, 3600, 86400))
LATER = Return(2 * DAY, "retry_requested", 1)
SOON = Return(3 * SECOND, "busy")


def only(actions: set[str], interfere: Interfere) -> Interfere:
    """Let a fault befall these actions only."""

    def chosen(action: str, batch: Sequence[object]) -> Faults:
        return interfere(action, batch) if action in actions else {}

    return chosen


def pass_time(office: Office, span: timedelta) -> None:
    office.time.pass_time(span.total_seconds())


def grow_old(office: Office, held: list[Held], age: timedelta) -> None:
    """Let the deliveries be of messages that were sent so long ago, and just received."""
    pass_time(office, age)
    for one in held:
        one.started_at = office.time.clock.monotonic()


def settle(office: Office, held: list[Held], conclusion: Return) -> None:
    office.settler.settle(held, conclusion, Facts(identity_for(held[0])))
    office.run()


def own(delivery: Delivery) -> OwnHeader:
    return read_own_header(delivery.headers)


def deeds_of(office: Office) -> list[str]:
    return [deed.action for deed in office.place.journal]


def crowd(monkeypatch: pytest.MonkeyPatch, office: Office, count: int) -> None:
    """Let the first request queue say that so many messages are in flight."""
    queue = office.requests[0]
    usual = queue.depth

    def depth() -> Depth:
        return usual()._replace(leased=count)

    monkeypatch.setattr(queue, "depth", depth)


def test_a_wait_that_no_release_carries_is_sent_anew_and_then_acked() -> None:
    """The copy comes after SQS's longest delay and says until when it waits. Nothing is settled by that."""
    office = Office()
    started = office.time.clock.now()
    (held,) = office.settle(LATER)
    with capture_logs() as lines:
        office.run()

    assert deeds_of(office) == ["send", "send", "ack"]
    pass_time(office, 14 * MINUTE)
    assert office.requests[0].browse(10) == []
    pass_time(office, MINUTE)
    (copy,) = office.requests[0].browse(10)
    assert (copy.body, copy.group, copy.receive_count) == (held.delivery.body, held.delivery.group, 0)
    assert own(copy) == OwnHeader(resends=1, first_sent_at=started, not_before=started + 2 * DAY)
    (line,) = lines
    assert (line["event"], line["outcome"], line["delay_ms"]) == ("job.released", "resent", 2 * 86_400_000)
    assert unknown_fields(line["event"], frozenset(line) - {"log_level"}) == set()
    assert (office.room.taken, office.room.settled) == (0, 0)


def test_a_message_that_gets_old_begins_anew_with_the_wait_that_it_has() -> None:
    """Each delivery of a job by its own age and its own queue: the other one is released."""
    office = Office()
    office.requests[1].kept = 4 * DAY
    held = office.receive(copies=2)
    sent_at = office.time.clock.now()
    grow_old(office, held, 2 * DAY)
    settle(office, held, SOON)

    assert Counter(office.deeds()) == {("requests", "release"): 1, ("more-requests", "ack"): 1}
    assert office.requests[1].depth() == Depth(0, 0, 1)
    pass_time(office, 3 * SECOND)
    (copy,) = office.requests[1].browse(10)
    assert own(copy) == OwnHeader(resends=1, first_sent_at=sent_at)
    assert copy.sent_at == sent_at + 2 * DAY


def test_a_copy_of_a_copy_keeps_the_first_time_and_the_later_moment() -> None:
    """However often a message is sent anew, its age counts from the first time."""
    office = Office()
    queue = office.requests[0]
    queue.kept = 12 * HOUR
    office.settle(LATER)
    office.run()
    first_sent_at = office.time.clock.now()
    for number in range(1, 4):
        pass_time(office, 15 * MINUTE)
        (delivery,) = queue.receive(10, timedelta(), HOUR)
        assert own(delivery).not_before == first_sent_at + 2 * DAY
        assert (own(delivery).resends, own(delivery).first_sent_at) == (number, first_sent_at)
        settle(office, [hold(office, delivery)], Return(10 * HOUR, "not_due"))


def hold(office: Office, delivery: Delivery) -> Held:
    """Take what was received from the first request queue in hand."""
    now = office.time.clock
    held = Held(delivery, office.requests[0], now.now(), now.monotonic(), 10**9)
    office.leases.keep([held])
    office.room.fill(office.room.reserve(1, 0), 1)
    return held


def test_beyond_sixty_thousand_in_flight_a_wait_is_a_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQS does not count delayed messages among those in flight, of which it has only so many."""
    office = Office()
    crowd(monkeypatch, office, IN_FLIGHT_MAXIMUM + 1)
    office.settle(SOON)
    office.run()

    assert office.deeds() == [("requests", "ack")]
    pass_time(office, 3 * SECOND)
    (copy,) = office.requests[0].browse(10)
    assert own(copy).not_before is None


def test_a_queue_is_asked_once_a_minute_and_only_for_what_waits() -> None:
    """What is given back at once costs no call; and how long it keeps messages is asked once for all."""
    office = Office()
    queue = office.requests[0]
    asked: Counter[str] = Counter()

    def note(action: str, _: Sequence[object]) -> Faults:
        asked.update({action} & {"depth", "retention"})
        return {}

    queue.interfere = note
    office.settle(Return(timedelta(), "shutdown"))
    office.run()
    assert not asked
    for span in (0 * SECOND, 59 * SECOND, SECOND):
        pass_time(office, span)
        office.settle(SOON)
        office.run()

    assert asked == Counter(depth=2, retention=1)


@pytest.mark.parametrize("interfere", [away, refusing(THROTTLED), refusing(REFUSED)])
def test_what_cannot_be_sent_anew_is_released_for_as_long_as_can_be(interfere: Interfere) -> None:
    """It may come before its time, as it must not be lost; the log says why."""
    office = Office()
    (held,) = office.receive()
    pass_time(office, HOUR)
    office.requests[0].interfere = only({"send"}, interfere)
    with capture_logs() as lines:
        settle(office, [held], LATER)

    assert office.deeds() == [("requests", "release")]
    assert [line["event"] for line in lines] == ["settle.failed", "job.released"]
    assert lines[-1]["outcome"] == "released"
    pass_time(office, 10 * HOUR - SECOND)
    assert office.requests[0].browse(1) == []
    pass_time(office, SECOND)
    assert [one.message_id for one in office.requests[0].browse(1)] == [held.delivery.message_id]


@pytest.mark.parametrize("lost_before", ["the copy", "the ack"])
def test_a_lost_lease_leaves_the_message_to_whoever_has_it(lost_before: str) -> None:
    """Before the copy, none is sent; after it, there are two."""
    office = Office()
    (held,) = office.settle(LATER)
    if lost_before == "the ack":
        office.step("releases")
    held.lost.set()
    office.run()

    assert deeds_of(office) == ["send"] * (1 if lost_before == "the copy" else 2)
    assert (office.room.taken, office.leases.in_hand()) == (0, [])


@pytest.mark.parametrize(("fault", "acks"), [(THROTTLED, 1), (LOST, 0), (REFUSED, 0)])
def test_an_ack_that_fails_after_the_copy_sends_no_second_one(fault: Any, acks: int) -> None:
    """It is tried again by itself where that can help."""
    office = Office()
    office.settle(LATER)
    office.requests[0].interfere = only({"ack"}, refusing(fault))
    office.run(3)
    office.requests[0].interfere = no_faults
    office.run()

    assert Counter(deeds_of(office)) == Counter({"send": 2, "ack": acks})
    assert office.room.taken == 0


def test_a_queue_that_does_not_tell_is_taken_to_keep_messages_for_four_days() -> None:
    """As SQS does unless it was told otherwise. The log says so once; told later, it is believed."""
    office = Office()
    queue = office.requests[0]
    queue.kept = 14 * DAY
    held = [office.receive()[0] for _ in range(3)]
    grow_old(office, held, 3 * DAY)
    queue.interfere = only({"retention", "depth"}, away)
    with capture_logs() as lines:
        settle(office, held[:1], SOON)
        pass_time(office, MINUTE)
        settle(office, held[1:2], SOON)
        queue.interfere = no_faults
        pass_time(office, MINUTE)
        settle(office, held[2:], SOON)

    assert [line["outcome"] for line in lines if line["event"] == "job.released"] == [
        "resent",
        "resent",
        "released",
    ]
    (unknown,) = [line for line in lines if line["event"] == "queue.unknown"]
    assert unknown_fields("queue.unknown", frozenset(unknown) - {"log_level", "event"}) == set()


def test_a_retention_that_was_told_is_kept_when_the_queue_no_longer_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its count of messages in flight is not: nothing is known of it then."""
    office = Office()
    queue = office.requests[0]
    crowd(monkeypatch, office, IN_FLIGHT_MAXIMUM + 1)
    held = [office.receive()[0] for _ in range(2)]
    grow_old(office, held, 3 * DAY)
    settle(office, held[:1], SOON)
    queue.interfere = only({"depth"}, away)
    pass_time(office, MINUTE)
    settle(office, held[1:], SOON)

    assert office.deeds() == [("requests", "ack"), ("requests", "release")]


def full_body(office: Office) -> str:
    """A body that leaves no room for a header."""
    return '"' + "x" * (office.requests[0].message_bytes_maximum - 2) + '"'


@pytest.mark.parametrize("bucket", [None, "checks"])
def test_a_body_that_leaves_no_room_for_the_header_goes_by_claim_check(bucket: str | None) -> None:
    """Without a bucket the message is released, and the log tells what to configure."""
    office = Office(bucket)
    held = office.take(full_body(office), office.requests[0])
    with capture_logs() as lines:
        office.settler.settle([held], LATER, Facts())
        office.run()

    failed = [line["msg"] for line in lines if line["event"] == "settle.failed"]
    if bucket is None:
        assert office.deeds() == [("requests", "release")]
        assert "claim_check_bucket" in failed[0]
    else:
        delivery = held.delivery
        key = f"resent/{delivery.message_id}.{content_mark(delivery.body)}.json"
        assert office.store.objects == {("checks", key): delivery.body.encode()}
        assert (office.deeds(), failed) == ([("requests", "ack")], [])


@pytest.mark.parametrize("after", [timedelta.max, 5000 * DAY])
def test_a_wait_beyond_the_calendar_is_a_year(after: timedelta) -> None:
    """A handler may ask for anything; no thread dies of it."""
    office = Office()
    started = office.time.clock.now()
    office.settle(Return(after, "retry_requested", 1))
    office.run()
    pass_time(office, 15 * MINUTE)
    (copy,) = office.requests[0].browse(1)

    assert own(copy).not_before == started + 366 * DAY
