"""Leases: a lost one is told once and never touched again."""

import threading
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from tests.support.leasing import LEASE_SECONDS, Care, ids
from tests.support.memory_queue import (
    LOST,
    THROTTLED,
    away,
    no_faults,
)
from worker.transports.base import Fault, Faults


@pytest.fixture
def care() -> Care:
    return Care()


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
