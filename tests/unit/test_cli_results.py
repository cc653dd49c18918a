"""`shardworker results`: what stands on the response queue."""

import json
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from config.result import CustomerResult, Error, Result, encode_result
from tests.support.site import Site
from worker.claim_check import offload
from worker.cli.errors import CommandError
from worker.cli.results import followed, taken_as_they_come, taken_at_once
from worker.objects import open_object_store
from worker.transports.base import Delivery, Fault, Message
from worker.transports.sql import SqlTransport

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path).set_up()


def delivery(message_id: str) -> Delivery:
    return Delivery(message_id, "receipt", "{}", {}, 1, NOW)


def result_body(job_id: str, *, dry_run: bool = False) -> str:
    error = Error(code="unique_violation", message="A row with the same unique key exists already.")
    return encode_result(
        Result(
            job_id=job_id,
            run=1,
            type="orders.insert",
            partner_id="acme",
            correlation_id=None,
            dry_run=dry_run,
            status="partial",
            customers=(
                CustomerResult(customer_id="c-1", status="succeeded", result={"inserted": 1}),
                CustomerResult(customer_id="c-2", status="failed", error=error),
            ),
            received_at=NOW,
            finished_at=NOW,
        )
    )


class TestResults:
    def test_results_are_shown_and_stay(self, site: Site) -> None:
        """A table for people: status, how many customers succeeded, the errors' codes."""
        site.send("results", Message(body=result_body("job-1")))
        result = site.run("results")

        assert result.exit_code == 0
        assert all(word in result.stdout for word in ("job-1", "partial", "1/2", "unique_violation"))
        assert len(site.waiting("results")) == 1

    def test_a_dry_run_s_result_is_marked(self, site: Site) -> None:
        """Nobody takes it for the real one's."""
        site.send("results", Message(body=result_body("job-1", dry_run=True)))
        told = " ".join(site.run("results").stdout.split())

        assert "partial (dry" in told

    def test_json_is_a_line_for_each_result_as_it_was_sent(self, site: Site) -> None:
        """A program reads what the front door would."""
        site.send("results", *(Message(body=result_body(f"job-{number}")) for number in range(12)))
        lines = site.run("results", "--json").stdout.splitlines()

        assert [json.loads(line) for line in lines] == [
            json.loads(result_body(f"job-{n}")) for n in range(12)
        ]

    def test_taken_results_are_gone_afterwards(self, site: Site) -> None:
        """More than a batch of ten, up to the maximum."""
        site.send("results", *(Message(body=result_body(f"job-{number}")) for number in range(25)))
        lines = site.run("results", "--take", "--json", "--max", "23").stdout.splitlines()

        assert len(lines) == 23
        assert len(site.waiting("results")) == 2

    def test_what_is_no_result_is_shown_as_such(self, site: Site) -> None:
        """Others can write to the queue; a terminal is never steered by them."""
        site.send("results", Message(body="\x9b2J hello"), Message(body='{"job_id": 5}'))
        table, lines = site.run("results"), site.run("results", "--json")

        assert table.stdout.count("unreadable") == 2
        assert "\x9b" not in table.stdout
        assert [json.loads(line) for line in lines.stdout.splitlines()] == [
            {"unreadable": "\x9b2J hello"},
            {"job_id": 5},
        ]

    def test_an_empty_queue_says_so(self, site: Site) -> None:
        """No empty table."""
        assert "no result" in site.run("results").stdout

    def test_a_result_by_claim_check_is_fetched(self, site: Site) -> None:
        """The one who looks sees the result, not the reference."""
        bucket = f"file://{site.directory}/bucket"
        with closing(open_object_store(site.settings.queues)) as store:
            pointer = offload(result_body("job-1"), store, bucket, "results/job-1/1.json")
        site.send("results", Message(body=pointer.body, attributes=pointer.attributes))

        assert json.loads(site.run("results", "--json").stdout)["job_id"] == "job-1"

    def test_following_shows_each_message_once(self, site: Site) -> None:
        """What is new since the last look, whatever still lies there."""
        site.send("results", Message(body="1"), Message(body="2"))
        pauses = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            site.send("results", Message(body=f"after {len(pauses)}"))

        with closing(site.queue("results")) as queue:
            batches = list(islice(followed(queue, 100, pause), 3))

        assert [[delivery.body for delivery in batch] for batch in batches] == [
            ["1", "2"],
            ["after 1"],
            ["after 2"],
        ]

    def test_following_comes_to_the_end_of_a_queue_longer_than_one_look(self, site: Site) -> None:
        """What lies there already never hides what is behind it."""
        site.send("results", *(Message(body=str(number)) for number in range(7)))
        with closing(site.queue("results")) as queue:
            batches = list(islice(followed(queue, 3, lambda _: None), 3))

        assert [[int(delivery.body) for delivery in batch] for batch in batches] == [
            [0, 1, 2],
            [3, 4, 5],
            [6],
        ]

    def test_following_takes_a_batch_only_after_it_was_shown(self, site: Site) -> None:
        """Who is interrupted while reading loses nothing."""
        site.send("results", *(Message(body=str(number)) for number in range(11)))
        with closing(site.queue("results")) as queue:
            batches = taken_as_they_come(queue)
            first = next(batches)
            depth_while_shown = queue.depth()
            second = next(batches)

            assert (len(first), len(second)) == (10, 1)
            assert depth_while_shown.leased == 10
            assert queue.depth().leased == 1

    def test_results_that_cannot_be_taken_off_are_told(self) -> None:
        """They were shown and will come again: nobody should count them twice unknowingly."""
        queue = create_autospec(SqlTransport, instance=True)
        queue.name = "results"
        queue.receive.side_effect = [[delivery("1"), delivery("2")], []]
        queue.ack.return_value = {1: Fault("lost", "The lease had run out.", lost=True)}

        with pytest.raises(CommandError, match=r"1 of the results stay on results .* The lease had run out"):
            list(taken_at_once(queue, 100))

    def test_a_queue_that_is_missing_says_what_to_do(self, tmp_path: Path) -> None:
        """Before `setup` there is nothing to look at."""
        result = Site(tmp_path).run("results")

        assert result.exit_code == 1
        assert "shardworker setup" in result.stderr
        assert len(result.stderr.splitlines()) == 1
