"""Long waits on real queues, the time being the test's: a job comes when it was asked for, not before."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from config.headers import read_own_header
from handlers import PartContext, Retry
from tests.support.core import Site, insert_order
from tests.support.fakes import NOON
from tests.support.jobs import inbox_rows, job_fields, orders
from tests.support.sqs_server import SqsServer
from tests.support.waiting import LEASE, WaitingSite
from worker.transports.addresses import SqlAddress, read_address
from worker.transports.base import Transport
from worker.transports.factory import open_transport
from worker.transports.sql import SqlTransport

MINUTE, QUARTER, HOUR, DAY = (timedelta(seconds=count) for count in (60, 900, 3600, 86400))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with closing(Site(tmp_path)) as site:
        yield site


@pytest.fixture
def sqs(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqsServer]:
    """SQS, whose time is the site's."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with SqsServer(clock=lambda: site.time.clock.now().timestamp()) as server:
        yield server


def sqs_queue(site: Site, server: SqsServer) -> Transport:
    url = f"sqs+{server.endpoint_url}/requests"
    return open_transport(url, site.settings.queues, LEASE)


def sql_queue(site: Site, _: SqsServer) -> Transport:
    address = read_address(f"sql://{site.path}/queues.db?queue=requests")
    assert isinstance(address, SqlAddress)
    return SqlTransport(address.url, address.queue_name, clock=lambda: site.time.clock.now().timestamp())


@pytest.fixture(params=[sqs_queue, sql_queue])
def waiting(request: pytest.FixtureRequest, site: Site, sqs: SqsServer) -> Iterator[WaitingSite]:
    make: Callable[[Site, SqsServer], Transport] = request.param
    with closing(make(site, sqs)) as queue:
        yield WaitingSite(site, queue)


class Patient:
    """A handler that asks once for a later try; it notes when it is called."""

    def __init__(self, site: Site, after: timedelta) -> None:
        self._site = site
        self._after = after
        self.calls: list[datetime] = []

    def __call__(self, payload: Any, context: PartContext) -> Any:
        """Ask for a later try, then insert."""
        self.calls.append(self._site.time.clock.now())
        if len(self.calls) == 1:
            raise Retry("Not yet.", after=self._after)
        return insert_order(payload, context)


@pytest.mark.parametrize("after", [10 * MINUTE, 11 * HOUR, 12 * HOUR, 2 * DAY])
def test_a_job_waits_for_as_long_as_its_handler_asked(waiting: WaitingSite, after: timedelta) -> None:
    """Its handler runs again then, not before; one attempt was counted, and nothing is left behind."""
    handler = waiting.site.handler = Patient(waiting.site, after)
    waiting.send(job_fields())
    waiting.live(after - MINUTE, step=5 * MINUTE)
    assert len(handler.calls) == 1
    assert [row["attempt"] for row in inbox_rows(waiting.site.path)] == [1]
    assert sum(waiting.queue.depth()) == 1
    waiting.live(20 * MINUTE, step=5 * MINUTE)

    first, second = handler.calls
    assert after <= second - first <= after + 10 * MINUTE
    assert orders(waiting.site.path) == [1]
    assert (sum(waiting.queue.depth()), waiting.room.taken) == (0, 0)
    assert len(waiting.response.browse(9)) == 1


def test_a_message_that_is_not_due_touches_nothing(waiting: WaitingSite) -> None:
    """No shard, no directory and no other copy: it goes back, and no attempt or start is counted."""
    waiting.site.handler = Patient(waiting.site, 2 * DAY)
    waiting.send(job_fields())
    waiting.live(timedelta(), step=20 * MINUTE)
    waiting.site.lose_shard("eu1")
    waiting.site.directory.error = AssertionError("nobody asks")
    (held,) = waiting.receive()

    assert read_own_header(held.delivery.headers).not_before == NOON + 2 * DAY
    assert waiting.site.offered == ["c-1"]
    (settled,) = waiting.site.settled
    assert (settled.conclusion.code, settled.conclusion.after) == ("not_due", 10 * HOUR)  # type: ignore[union-attr]


def test_a_copy_that_is_due_runs_though_another_one_waits(waiting: WaitingSite) -> None:
    """Each message waits for itself; the one that waits takes the outcome in the end."""
    handler = waiting.site.handler = Patient(waiting.site, DAY)
    waiting.send(job_fields())
    waiting.live(timedelta(), step=20 * MINUTE)
    waiting.send(job_fields())
    waiting.live(HOUR, step=10 * MINUTE)
    assert (len(handler.calls), orders(waiting.site.path)) == (2, [1])
    waiting.live(DAY + HOUR, step=10 * MINUTE)

    assert len(handler.calls) == 2
    assert (sum(waiting.queue.depth()), len(waiting.response.browse(9))) == (0, 2)


def test_a_wait_beyond_the_inbox_s_memory_ends_on_the_failure_queue(
    tmp_path: Path, waiting: WaitingSite
) -> None:
    """Nobody could tell by then whether the job had run."""
    del tmp_path
    waiting.site.handler = Patient(waiting.site, 60 * DAY)
    waiting.send(job_fields())
    waiting.live(31 * DAY, step=5 * HOUR)
    (letter,) = waiting.failure.browse(9)

    assert read_own_header(letter.headers).code == "too_old"
    assert (sum(waiting.queue.depth()), waiting.response.browse(9)) == (0, [])


@pytest.mark.parametrize(("retention", "after"), [(HOUR, DAY), (14 * DAY, 9 * DAY)])
def test_no_message_that_waits_gets_older_than_half_its_retention(
    site: Site, sqs: SqsServer, retention: timedelta, after: timedelta
) -> None:
    """Whatever the retention: a copy begins anew in time."""
    handler = site.handler = Patient(site, after)
    with closing(sqs_queue(site, sqs)) as queue:
        waiting = WaitingSite(site, queue)
        queued = sqs.service.queues["requests"]
        queued.attributes["MessageRetentionPeriod"] = str(int(retention.total_seconds()))
        waiting.send(job_fields())
        for _ in range(after // QUARTER + 4):
            waiting.live(timedelta(), step=QUARTER)
            now = site.time.clock.now().timestamp()
            ages = [now - message.sent_at for message in queued.messages.values()]
            assert all(age <= (retention / 2 + QUARTER).total_seconds() for age in ages)

    assert len(handler.calls) == 2
    assert (queued.messages, orders(site.path)) == ({}, [1])


def test_a_hold_that_sqs_ends_after_twelve_hours_loses_nothing(site: Site, sqs: SqsServer) -> None:
    """The job stays in its lane, its message comes again and is joined to it; both are settled in the end."""
    with closing(sqs_queue(site, sqs)) as queue:
        waiting = WaitingSite(site, queue)
        waiting.send(job_fields())
        (first,) = waiting.receive()
        while not first.lost.is_set():
            site.pass_time(seconds=20)
            waiting.leases.extend_due()
        held_for = site.time.clock.now() - first.received_at
        site.pass_time(seconds=LEASE.total_seconds())
        (second,) = waiting.receive()
        waiting.settle()

    assert 11.9 * HOUR < held_for <= 12 * HOUR
    assert (second.copied, orders(site.path)) == (True, [1])
    assert (sqs.service.queues["requests"].messages, waiting.room.taken) == ({}, 0)
    assert len(waiting.response.browse(9)) == 1
