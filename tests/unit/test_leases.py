"""Leases: extended in time and in batches; each queue by itself."""

from datetime import timedelta

import pytest

from tests.support.leasing import LEASE, LEASE_SECONDS, Care, ids
from tests.support.memory_queue import THROTTLED, Interfere, away, no_faults


@pytest.fixture
def care() -> Care:
    return Care()


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
