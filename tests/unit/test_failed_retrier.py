"""Sending failed messages again when a queue does half of it; and the person who is asked before many."""

import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from config.headers import OwnHeader
from config.settings import Settings
from tests.support.fakes import ManualTime, MemoryStore
from tests.support.memory_queue import THROTTLED, Interfere, MemoryPlace, away
from tests.support.settling import refusing
from tests.support.site import Site, dead_letter
from worker.cli.failed_choice import Choice, Filters
from worker.cli.failed_queue import Search, Taking
from worker.cli.failed_report import Line
from worker.cli.failed_retrier import Retrier, Targets
from worker.cli.failed_retry import paced
from worker.letters import Letters
from worker.transports.base import Faults, TransportError

ROOT = Path(__file__).parents[2]


class Bench:
    """Two failed messages, and a retrier of them, over queues in memory."""

    def __init__(self) -> None:
        self.time = ManualTime()
        place = MemoryPlace(clock=lambda: self.time.seconds)
        self.failures, self.requests = place.transport("failures"), place.transport("requests")
        queues = {"request": ["sqs://requests"], "response": "sqs://b", "failure": "sqs://c"}
        self.settings = Settings.model_validate({"queues": queues})
        letters = Letters(MemoryStore(), None, "test", self.time.clock)
        self.targets = Targets(self.settings, None)
        self.targets._opened["sqs://requests"] = self.requests
        self.retrier = Retrier(self.settings, letters, self.targets, too_old=False, dry_run=False)
        header = OwnHeader(run=1, code="handler_error", answered=True, first_sent_at=self.time.clock.now())
        self.failures.send([dead_letter(f'{{"job_id": "job-{number}"}}', header) for number in range(2)])

    def retry_all(self) -> list[Line]:
        """What became of each."""
        with Taking(self.failures, self.time.clock, timedelta()) as taking:
            (batch,) = Search(self.settings, taking, Choice((), Filters())).batches()
            return list(self.retrier.retry(batch, taking))


def at_ack(interfere: Interfere) -> Interfere:
    """Only deletes meet with this."""

    def at_ack_only(action: str, batch: Sequence[object]) -> Faults:
        return interfere(action, batch) if action == "ack" else {}

    return at_ack_only


@pytest.mark.parametrize("interfere", [at_ack(away), at_ack(refusing(THROTTLED, THROTTLED))])
def test_what_was_sent_and_cannot_be_deleted_is_told(interfere: Interfere) -> None:
    """It is on both queues: another retry does no harm."""
    bench = Bench()
    bench.failures.interfere = interfere
    lines = bench.retry_all()

    assert [(line.done, line.run) for line in lines] == [("sent", 2)] * 2
    assert all("Another retry does no harm" in (line.error or "") for line in lines)
    assert bench.requests.depth() == bench.failures.depth() == (2, 0, 0)


def test_what_is_not_accepted_stays_and_the_rest_goes() -> None:
    """One entry of a batch is refused."""
    bench = Bench()
    bench.requests.interfere = refusing(None, THROTTLED)
    refused, sent = bench.retry_all()

    assert (sent.done, refused.done) == ("sent", None)
    assert "It was not sent: requests: later, perhaps." in (refused.error or "")
    assert [queue.depth().waiting for queue in (bench.requests, bench.failures)] == [1, 1]


def test_a_queue_that_is_away_ends_the_command_and_gives_all_back() -> None:
    """Trying each message after the other would take for ever."""
    bench = Bench()
    bench.requests.interfere = away
    with pytest.raises(TransportError):
        bench.retry_all()

    assert bench.failures.depth() == (2, 0, 0)


@pytest.mark.parametrize(("rate", "seconds"), [(0.5, 24), (4, 2), (1000, 0.02), (None, 0)])
def test_the_rate_is_kept(rate: float | None, seconds: float) -> None:
    """Thirteen messages: as much time passes as twelve of them may take, counted in whole batches."""
    bench = Bench()
    bench.failures.send([dead_letter("{}", OwnHeader(run=1)) for _ in range(11)])
    with Taking(bench.failures, bench.time.clock, timedelta()) as taking:
        search = Search(bench.settings, taking, Choice((), Filters()))
        for batch in paced(search, taking, rate):
            assert taking.settle([message.delivery for message in batch]) == {}

    passed = sum(bench.time.slept)
    batch_seconds = 0.0 if rate is None else min(10, max(1, int(rate))) / rate
    assert seconds <= passed + batch_seconds
    assert passed <= 0.0 if rate is None else passed <= 13 / rate


@pytest.mark.parametrize(("answer", "left"), [(b"n\n", 1), (b"y\n", 0)])
def test_who_sits_at_a_terminal_is_asked_before_all_are_removed(
    tmp_path: Path, answer: bytes, left: int
) -> None:
    """And only a yes removes them."""
    site = Site(tmp_path).set_up()
    site.send("failures", dead_letter("{}", OwnHeader(run=1)))
    master, terminal = pty.openpty()
    with closing(os.fdopen(master, "wb", buffering=0)) as keyboard, closing(os.fdopen(terminal)) as stdin:
        keyboard.write(answer)
        line = [sys.executable, "-m", "worker", "failed", "remove", "--all", "--config", str(site.path)]
        done = subprocess.run(line, cwd=ROOT, stdin=stdin, capture_output=True, check=False, timeout=60)

    assert done.returncode == left
    assert b"about 1 messages" in done.stderr
    assert len(site.waiting("failures")) == left
