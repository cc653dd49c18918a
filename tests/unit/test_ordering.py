"""Groups and deduplication ids of what we write to FIFO queues; other queues get neither."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from config.job import Job, to_job
from tests.support.jobs import held_of, job_fields
from tests.support.memory_queue import MemoryPlace, MemoryTransport
from tests.support.settling import REASON, Office
from worker.envelope import Identity
from worker.letters import Letters
from worker.ordering import final_result, repeated_result, running_result, submitted
from worker.transports.base import Message

SENT = Message("{}", group="acme")
IDENTITY = Identity("job-1", 2, "acme", "orders.insert", None, False, ("c-1",))
DRY = replace(IDENTITY, dry_run=True)
WAITING = ((), ("c-1",), ("c-1", "c-2"), tuple(f"c-{number}" for number in range(100)))


class Fifo(MemoryTransport):
    """A queue in memory that says that it keeps order."""

    is_ordered = True


@pytest.fixture
def fifo() -> MemoryTransport:
    return Fifo(MemoryPlace(), "orders.fifo")


def ids(message: Message) -> tuple[str | None, str | None]:
    return message.group, message.deduplication_id


def test_the_results_of_a_job_are_a_group_and_each_of_them_is_one(fifo: MemoryTransport) -> None:
    """Its repeat after a crash has the same id; a final after a refusal has another, so it gets through."""
    assert ids(final_result(fifo, SENT, IDENTITY, "partial")) == ("job-1", "job-1:2:final")
    assert ids(final_result(fifo, SENT, IDENTITY, "rejected")) == ("job-1", "job-1:2:rejected")
    assert ids(running_result(fifo, SENT, IDENTITY, 7, ())) == ("job-1", "job-1:2:done:7")


def test_who_waits_is_told_however_far_the_job_was_told_to_be(fifo: MemoryTransport) -> None:
    """A shard that goes away within five minutes of the last news is news; the same news are told once."""
    told = [ids(running_result(fifo, SENT, IDENTITY, 7, waiting))[1] for waiting in WAITING]
    assert len({*told}) == len(told)
    assert told == [ids(running_result(fifo, SENT, IDENTITY, 7, waiting))[1] for waiting in WAITING]
    assert all(len(one or "") < 128 for one in told)


def test_a_dry_run_never_swallows_the_real_answer(fifo: MemoryTransport) -> None:
    """It has the same job id and run."""
    assert ids(final_result(fifo, SENT, DRY, "succeeded")) == ("job-1", "job-1:2:dry:final")
    assert ids(running_result(fifo, SENT, DRY, 7, ())) == ("job-1", "job-1:2:dry:done:7")


def test_an_answer_that_is_repeated_on_purpose_gets_through_each_time(fifo: MemoryTransport) -> None:
    """Within the five minutes too; and its id is never too long for SQS."""
    long = replace(DRY, job_id="j" * 60, run=2_147_483_647)
    first, second = (repeated_result(fifo, SENT, long) for _ in range(2))
    assert first.deduplication_id != second.deduplication_id
    assert len(first.deduplication_id or "") <= 128
    given = repeated_result(fifo, SENT, IDENTITY, lambda: UUID(int=1))
    assert ids(given) == ("job-1", f"job-1:2:again:{1:032x}")


def test_other_queues_get_what_they_always_did() -> None:
    """The group says who is to be served fairly there, and nobody reads an id."""
    queue = MemoryPlace().transport("orders")
    assert final_result(queue, SENT, IDENTITY, "partial") is SENT
    assert running_result(queue, SENT, IDENTITY, 1, ()) is SENT
    assert submitted(queue, SENT, job(), None) is SENT
    assert ids(submitted(queue, SENT, job(), "mine")) == ("mine", None)


def job(**fields: Any) -> Job:
    return to_job(job_fields(job_id="job-1", **fields))


def test_a_job_that_is_submitted_twice_is_one(fifo: MemoryTransport) -> None:
    """In the group that was asked for or its partner's; what was corrected, or is no dry run, is another."""
    jobs = [job(), job(run=3), job(dry_run=True), job(payload={"rows": [{"order_no": 2}]})]
    sent = [submitted(fifo, SENT, one, None) for one in jobs]
    assert sent == [submitted(fifo, SENT, one, None) for one in jobs]
    assert len({message.deduplication_id for message in sent}) == len(jobs)
    assert {message.group for message in sent} == {"acme"}
    assert submitted(fifo, SENT, job(), "mine").group == "mine"
    long = submitted(fifo, SENT, job(run=2_147_483_647, dry_run=True), None).deduplication_id or ""
    assert len(long) - len("job-1") + 60 <= 128


def test_a_dead_letter_and_a_retry_are_one_each_however_often_they_are_written(fifo: MemoryTransport) -> None:
    """After a crash between the dead letter and the ack, and by two operators at once."""
    office = Office()
    letters = Letters(office.store, None, "host:1", office.time.clock)
    held, other = office.take("{}", office.requests[0]), office.take("{}", office.requests[0])

    def buried(which: Any, code: str) -> Message:
        return letters.dead_letter(fifo, which, replace(REASON, code=code), None, answered=False)

    assert buried(held, "bad_message").deduplication_id == buried(held, "expired").deduplication_id
    assert buried(held, "bad_message").deduplication_id != buried(other, "bad_message").deduplication_id
    first, second = (letters.retry(fifo, held.delivery, renew=renew) for renew in (False, True))
    assert first.deduplication_id == second.deduplication_id is not None
    assert first.deduplication_id != buried(held, "bad_message").deduplication_id


def test_a_dead_letter_keeps_its_group_where_order_counts(fifo: MemoryTransport) -> None:
    """On a FIFO failure queue, and on any where it has to find its way back to a FIFO queue."""
    office = Office()
    letters = Letters(office.store, None, "host:1", office.time.clock)
    held = held_of("{}", source=fifo)
    held.delivery = replace(held.delivery, group="chain")
    standard = replace(held, source=office.requests[0])

    def group(queue: MemoryTransport, which: Any, identity: Identity | None = IDENTITY) -> str | None:
        return letters.dead_letter(queue, which, REASON, identity, answered=True).group

    assert group(office.failure, held) == group(fifo, held) == group(fifo, standard) == "chain"
    assert group(office.failure, standard) == "acme"
    standard.delivery = replace(held.delivery, group=None)
    assert group(fifo, standard) == "acme"
    assert group(fifo, standard, None) is None
