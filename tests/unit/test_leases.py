"""Leases: extended in time, in batches; a lost one is told once and never touched again."""

import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.support.fakes import NOON, ManualTime
from tests.support.memory_queue import (
    LOST,
    THROTTLED,
    Interfere,
    MemoryPlace,
    MemoryTransport,
    away,
    no_faults,
)
from worker.held import Held
from worker.leases import Leases
from worker.transports.base import Fault, Faults, Message

LEASE_SECONDS = 60.0
LEASE = timedelta(seconds=LEASE_SECONDS)


class Care:
    """A lease keeper over queues in memory, with time in hand."""

    def __init__(self, renewal_seconds: float | None = None) -> None:
        self.time = ManualTime()
        self.place = MemoryPlace(clock=lambda: self.time.seconds)
        self.queue = self.place.transport("requests")
        self.other = self.place.transport("more-requests")
        self.leases = Leases(LEASE_SECONDS, self.time.clock, renewal_seconds)

    def take(self, count: int = 1, source: MemoryTransport | None = None) -> list[Held]:
        """Receive messages and give their leases into care."""
        source = source or self.queue
        source.send([Message("{}") for _ in range(count)])
        end = self.time.seconds + LEASE_SECONDS
        deliveries = source.receive(count, timedelta(), LEASE)
        held = [Held(delivery, source, NOON, self.time.seconds, end) for delivery in deliveries]
        self.leases.keep(held)
        return held

    def extended(self) -> list[str]:
        """The ids of the messages that were extended so far."""
        return self.place.did("extend")


@pytest.fixture
def care() -> Care:
    return Care()


def ids(held: Sequence[Held]) -> list[str]:
    return [one.delivery.message_id for one in held]


def test_nothing_is_extended_before_it_is_due(care: Care) -> None:
    """In the first half of a lease the queue is left alone."""
    care.take()
    care.time.pass_time(LEASE_SECONDS / 2 - 0.1)
    care.leases.extend_due()

    assert care.extended() == []


def test_what_is_due_is_extended_for_a_whole_lease_from_then_on(care: Care) -> None:
    """The message stays hidden for others, for as long as it is in hand."""
    (held,) = care.take()
    for _ in range(10):
        care.time.pass_time(LEASE_SECONDS / 2)
        care.leases.extend_due()
        assert held.expires_at == care.time.seconds + LEASE_SECONDS

    assert care.extended() == ids([held]) * 10
    assert (care.leases.extended, care.leases.lost) == (10, 0)
    assert care.queue.receive(10, timedelta(), LEASE) == []


def test_leases_are_extended_as_often_as_was_asked_for() -> None:
    """Each for a whole lease again; the keeper looks often enough for that."""
    care = Care(renewal_seconds=5)
    assert care.leases.extend_due() <= 5 / 4
    (held,) = care.take()
    for _ in range(3):
        care.time.pass_time(5)
        care.leases.extend_due()
        assert held.expires_at == care.time.seconds + LEASE_SECONDS

    assert care.extended() == ids([held]) * 3


def test_no_lease_is_extended_later_than_in_its_half() -> None:
    """Whatever was asked for: the other half is for trying again."""
    care = Care(renewal_seconds=LEASE_SECONDS)
    care.take()
    care.time.pass_time(LEASE_SECONDS / 2)
    care.leases.extend_due()

    assert len(care.extended()) == 1


def test_the_keeper_looks_again_when_the_next_lease_is_due(care: Care) -> None:
    """It neither sleeps through a renewal nor wakes up for nothing."""
    care.take()
    care.time.pass_time(LEASE_SECONDS / 2 - 1)

    assert care.leases.extend_due() == pytest.approx(1)


def test_a_message_that_came_late_in_a_poll_is_extended_in_time(care: Care) -> None:
    """A poll may take a third of a lease, which counts from before it: no sleep is longer than the rest."""
    longest_sleep = care.leases.extend_due()

    assert longest_sleep <= LEASE_SECONDS / 2 - LEASE_SECONDS / 3


def test_leases_that_are_due_soon_are_extended_along(care: Care) -> None:
    """One request for ten costs as much as one for one."""
    early = care.take(2)
    care.time.pass_time(LEASE_SECONDS / 20)
    late = care.take(2)
    care.time.pass_time(LEASE_SECONDS / 2 - LEASE_SECONDS / 20)
    care.leases.extend_due()

    assert sorted(care.extended()) == sorted(ids(early + late))


def test_each_queue_has_batches_of_its_own(care: Care) -> None:
    """Two request queues: each one extends its own messages."""
    one, two = care.take(3), care.take(2, care.other)
    care.time.pass_time(LEASE_SECONDS / 2)
    care.leases.extend_due()
    by_queue = {(deed.queue, deed.subject) for deed in care.place.journal if deed.action == "extend"}

    assert by_queue == {("requests", name) for name in ids(one)} | {
        ("more-requests", name) for name in ids(two)
    }


def test_one_queue_that_is_away_does_not_keep_the_others_leases_from_being_extended(care: Care) -> None:
    """Its own are tried again."""
    care.take()
    (healthy,) = care.take(1, care.other)
    care.queue.interfere = away
    care.time.pass_time(LEASE_SECONDS / 2)
    care.leases.extend_due()

    assert care.extended() == ids([healthy])


@pytest.mark.parametrize("interfere", [away, lambda _action, _batch: {0: THROTTLED}])
def test_a_fault_that_is_no_loss_is_tried_again_before_the_end(care: Care, interfere: Interfere) -> None:
    """The lease still holds: nobody is told anything."""
    (held,) = care.take()
    care.queue.interfere = interfere
    care.time.pass_time(LEASE_SECONDS / 2)
    pause = care.leases.extend_due()
    assert (held.lost.is_set(), 0 < pause <= 5) == (False, True)
    care.queue.interfere = no_faults
    care.time.pass_time(pause)
    care.leases.extend_due()

    assert (care.extended(), held.lost.is_set()) == (ids([held]), False)


def test_a_lease_that_could_not_be_extended_is_lost_at_its_end(care: Care) -> None:
    """As soon as its time is up, and told once."""
    (held,) = care.take()
    care.queue.interfere = away
    end = held.expires_at
    care.time.pass_time(LEASE_SECONDS / 2)
    with capture_logs() as lines:
        while pause := care.leases.extend_due():
            if held.lost.is_set():
                break
            care.time.pass_time(pause)

    assert care.time.seconds == pytest.approx(end)
    assert [line["event"] for line in lines if line["event"] != "lease.failed"] == ["lease.lost"]


def test_a_lost_lease_is_told_once_and_never_extended_again(care: Care) -> None:
    """The queue says that it is gone: the others of the batch are extended."""
    lost, kept = care.take(2)
    care.queue.interfere = lambda _action, _batch: {0: LOST}
    with capture_logs() as lines:
        care.time.pass_time(LEASE_SECONDS / 2)
        care.leases.extend_due()
        care.queue.interfere = no_faults
        care.time.pass_time(LEASE_SECONDS / 2)
        care.leases.extend_due()

    assert (lost.lost.is_set(), kept.lost.is_set()) == (True, False)
    assert care.extended() == ids([kept, kept])
    assert [(line["event"], line["message_id"]) for line in lines] == [("lease.lost", *ids([lost]))]
    assert care.leases.in_hand() == [kept]


def test_an_expired_lease_is_never_extended(care: Care) -> None:
    """The process was suspended for longer than the lease: another worker may have the message."""
    held = care.take(3)
    care.time.pass_time(LEASE_SECONDS + 1)
    care.leases.extend_due()

    assert care.extended() == []
    assert all(one.lost.is_set() for one in held)


def test_a_lease_that_expires_between_two_tries_is_not_extended_with_others(care: Care) -> None:
    """Its next try was planned for later; another message that is due now must not take it along."""
    (short,) = care.take()
    short.expires_at = care.time.seconds + LEASE_SECONDS / 2 + 0.1
    care.queue.interfere = away
    care.time.pass_time(LEASE_SECONDS / 2)
    care.leases.extend_due()
    care.queue.interfere = no_faults
    care.time.pass_time(0.15)
    (other,) = care.take()
    other.expires_at = care.time.seconds + 1
    care.leases.keep([other])
    care.leases.extend_due()

    assert care.extended() == ids([other])
    assert short.lost.is_set()


def test_a_lease_that_expires_while_another_queue_is_slow_is_not_extended(care: Care) -> None:
    """The call for the first queue took longer than the second one's leases last."""
    (first,) = care.take()
    (second,) = care.take(1, care.other)
    second.expires_at -= LEASE_SECONDS / 2 - 1

    def slow(_action: str, _batch: Sequence[object]) -> Faults:
        care.time.pass_time(2)
        return {}

    care.queue.interfere = slow
    care.time.pass_time(LEASE_SECONDS / 2)
    care.leases.extend_due()

    assert (first.lost.is_set(), second.lost.is_set()) == (False, True)
    assert ("more-requests", "extend") not in {(deed.queue, deed.action) for deed in care.place.journal}


def test_the_new_end_counts_from_before_the_call(care: Care) -> None:
    """The queue may have counted from any moment of it; the earliest is the safe one."""
    (held,) = care.take()

    def slow(_action: str, _batch: Sequence[object]) -> Faults:
        care.time.pass_time(7)
        return {}

    care.queue.interfere = slow
    care.time.pass_time(LEASE_SECONDS / 2)
    asked_at = care.time.seconds
    care.leases.extend_due()

    assert held.expires_at == asked_at + LEASE_SECONDS


@pytest.mark.parametrize("fault", [None, THROTTLED, LOST])
def test_a_delivery_that_leaves_during_its_extension_stays_forgotten(care: Care, fault: Fault | None) -> None:
    """It was acked meanwhile: whatever the extension came to, it is neither kept nor lost."""
    (held,) = care.take()

    def drop(_action: str, _batch: Sequence[object]) -> Faults:
        care.leases.drop(held)
        return {0: fault} if fault else {}

    care.queue.interfere = drop
    care.time.pass_time(LEASE_SECONDS / 2)
    with capture_logs() as lines:
        care.leases.extend_due()

    assert (care.leases.in_hand(), held.lost.is_set(), lines) == ([], False, [])


def test_dropping_twice_is_harmless(care: Care) -> None:
    """Whoever is second finds nothing to do."""
    (held,) = care.take()
    care.leases.drop(held)
    care.leases.drop(held)

    assert care.leases.in_hand() == []


def test_the_keeper_s_thread_ends_when_it_is_stopped(care: Care) -> None:
    """Also from the middle of a long sleep."""
    thread = threading.Thread(target=care.leases.run, daemon=True)
    thread.start()
    care.leases.stop()
    thread.join(10)

    assert not thread.is_alive()


def test_losses_are_counted(care: Care) -> None:
    """Each delivery once: operators are told when there are many."""
    care.take(3)
    care.time.pass_time(LEASE_SECONDS + 1)
    care.leases.extend_due()
    care.leases.extend_due()

    assert (care.leases.extended, care.leases.lost) == (0, 3)
