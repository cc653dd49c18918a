"""Dry runs on their way out: how a suspected one waits, what its line says, what its end counts as."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from config.headers import OwnHeader, read_own_header
from tests.support.settling import Office, identity_for
from worker.conclusion import Answer, Return
from worker.dry_runs import deaths_of, is_to_be_set_apart
from worker.events import unknown_fields
from worker.facts import Facts
from worker.held import Held
from worker.transports.base import Delivery, Faults, Message
from worker.transports.sqs_ordered import identified, ordered_fault
from worker.waits import not_due_delay

SUSPECT_RECEIVES: Final = 5
MAX_STARTS: Final = 3
LEASE: Final = timedelta(minutes=2)
RETENTION: Final = timedelta(days=30)


def own(delivery: Delivery) -> OwnHeader:
    return read_own_header(delivery.headers)


class Queue:
    """A request queue with one dry run on it; `is_ordered`: a FIFO queue."""

    def __init__(self, *, is_ordered: bool) -> None:
        self.office = Office()
        self.transport = self.office.requests[0]
        self.transport.is_ordered = is_ordered
        self.sent: list[Message] = []
        self.transport.send([Message("{}", group="acme")])
        self._send = self.transport.send
        self.transport.send = self._note_sent  # type: ignore[method-assign]

    def next(self) -> Held:
        """The message, whenever it comes, once it is due."""
        while True:
            delivery = self._receive()
            now = self.office.time.clock.now()
            wait = not_due_delay(own(delivery).not_before, delivery.sent_at, now, RETENTION)
            held = self._hold(delivery)
            if wait is not None:
                self.give_back(held, wait)
                continue
            facts = (own(delivery), delivery.receive_count, SUSPECT_RECEIVES)
            held.deaths = deaths_of(*facts)
            if not is_to_be_set_apart(*facts):
                return held
            held.deaths = 0
            self.give_back(held, timedelta(seconds=5))

    def give_back_unopened(self) -> None:
        """Receive it and let it wait before anybody knows that it is a dry run: its body cannot be had."""
        self.give_back(self._hold(self._receive()), timedelta(seconds=5))

    def give_back(self, held: Held, wait: timedelta) -> None:
        """Let it wait."""
        self.office.settler.settle([held], Return(wait, "shard_away"), Facts())
        self.office.run()

    def die(self) -> None:
        """Let its lease run out."""
        self.office.time.pass_time(2 * LEASE.total_seconds())

    def _receive(self) -> Delivery:
        for _ in range(1000):
            if received := self.transport.receive(1, timedelta(), LEASE):
                return received[0]
            self.office.time.pass_time(60)
        raise AssertionError("The message was lost.")

    def _hold(self, delivery: Delivery) -> Held:
        now = self.office.time.clock
        held = Held(delivery, self.transport, now.now(), now.monotonic(), 10**9)
        self.office.leases.keep([held])
        self.office.room.fill(self.office.room.reserve(1, 0), 1)
        return held

    def _note_sent(self, batch: Sequence[Message]) -> Faults:
        self.sent += batch
        return self._send(batch)


both_kinds = pytest.mark.parametrize("is_ordered", [False, True], ids=["standard", "FIFO"])


@both_kinds
@pytest.mark.parametrize("wait", [timedelta(), timedelta(seconds=5), timedelta(hours=3)])
def test_a_suspected_dry_run_goes_back_as_a_copy(wait: timedelta, *, is_ordered: bool) -> None:
    """Whose receives begin anew, with its deaths; nothing that no FIFO queue takes, in its own group."""
    queue = Queue(is_ordered=is_ordered)
    held = queue.next()
    held.deaths = 2
    began = queue.office.time.clock.now()
    queue.give_back(held, wait)
    copy = queue.next()

    assert (copy.deaths, own(copy.delivery).resends, copy.delivery.group) == (2, 1, "acme")
    assert queue.office.time.clock.now() >= began + wait
    assert len(queue.sent) == 1
    assert not is_ordered or ordered_fault(identified(queue.sent[0])) is None


@both_kinds
def test_any_other_message_is_released(*, is_ordered: bool) -> None:
    """A dry run that came seldom, too: a copy costs two requests more."""
    queue = Queue(is_ordered=is_ordered)
    queue.give_back(queue.next(), timedelta(seconds=5))

    assert (queue.next().delivery.receive_count, queue.sent) == (2, [])


@both_kinds
@given(ends=st.lists(st.sampled_from(["death", "wait", "long wait", "stop", "unopened"]), max_size=60))
@example(ends=["wait"] * SUSPECT_RECEIVES + ["unopened"] * MAX_STARTS)
def test_no_wait_is_ever_taken_for_a_death(ends: list[str], *, is_ordered: bool) -> None:
    """However long its shard is away, in whatever order it happens; and the killing comes to an end."""
    waits = {"wait": timedelta(seconds=5), "long wait": timedelta(hours=2), "stop": timedelta()}
    queue = Queue(is_ordered=is_ordered)
    deaths = 0
    for end in ends:
        if end == "unopened":
            queue.give_back_unopened()
            continue
        held = queue.next()
        assert (held.deaths or 0) <= deaths
        if (held.deaths or 0) >= MAX_STARTS:
            return
        if end == "death":
            deaths += 1
            queue.die()
        else:
            queue.give_back(held, waits[end])
    assert (queue.next().deaths or 0) <= deaths


@both_kinds
@given(waits=st.lists(st.integers(0, 12), max_size=12))
def test_a_killer_is_found_out_after_a_few_deaths(waits: list[int], *, is_ordered: bool) -> None:
    """Also where it waits now and then in between: four before it is suspected, and a few more."""
    queue = Queue(is_ordered=is_ordered)
    deaths = 0
    for number in range(SUSPECT_RECEIVES + MAX_STARTS + len(waits)):
        held = queue.next()
        if (held.deaths or 0) >= MAX_STARTS:
            break
        if number in waits:
            queue.give_back(held, timedelta(seconds=5))
        else:
            deaths += 1
            queue.die()
    assert (held.deaths, deaths <= SUSPECT_RECEIVES - 1 + MAX_STARTS) == (MAX_STARTS, True)


def test_a_dry_run_s_line_says_so_and_its_failure_is_nobody_s() -> None:
    """So that no operator counts it, and no `--failure-limit` is reached by what somebody only asked."""
    office = Office()
    for fields in ({"dry_run": True}, {}):
        (held,) = office.receive(**fields)
        office.settler.settle([held], Answer("failed", "{}", None, "x"), Facts(identity_for(held)))
    with capture_logs() as lines:
        office.run()

    assert [(line["outcome"], line.get("dry_run")) for line in lines] == [("failed", True), ("failed", None)]
    assert [unknown_fields(line["event"], frozenset(line) - {"log_level"}) for line in lines] == [set()] * 2
    assert (office.room.settled, office.room.failed, office.room.failures) == (2, 1, 1)


def test_a_large_result_of_a_dry_run_lies_beside_the_real_one_s() -> None:
    """It takes nobody's place in the bucket."""
    office = Office(bucket="checks")
    office.response.message_bytes_maximum = 100
    for fields in ({"dry_run": True}, {}):
        (held,) = office.receive(**fields)
        body = json.dumps({"text": "x" * 200, **fields})
        office.settler.settle([held], Answer("succeeded", body), Facts(identity_for(held)))
    office.run()

    keys = sorted(key for _, key in office.store.objects)
    assert keys == ["results/job-1/1.dry.json", "results/job-2/1.json"]
