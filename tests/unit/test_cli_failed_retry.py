"""`shardworker failed retry`: what failed is sent again, once, as it came."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config.headers import OwnHeader
from tests.support.failed_letters import NOW, fail, header_of, jobs_on
from tests.support.site import Site, dead_letter
from worker.transports.base import Attribute, Message
from worker.transports.limits import MESSAGE_BYTES_MAXIMUM


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path).set_up()


class TestRetry:
    def test_what_was_answered_goes_back_with_its_next_run(self, site: Site) -> None:
        """To the queue that it came from, with what it came with; the others stay, to be seen at once."""
        fail(site, "job-1")
        attributes = {"type": Attribute("String", "App"), "n": Attribute("Number", "7")}
        letter = dead_letter("{}", OwnHeader(run=4, origin="slow", code="handler_error", answered=True))
        site.send("failures", Message("{}", {**letter.attributes, **attributes}, group="acme"))
        (other, chosen) = site.waiting("failures")
        result = site.run("failed", "retry", chosen.message_id)
        (again,) = site.waiting("slow")

        assert result.stdout == f"{chosen.message_id}: sent to slow as run 5\n"
        assert {name: again.attributes[name] for name in attributes} == attributes
        assert (again.body, again.group, header_of(again).run) == ("{}", "acme", 5)
        assert header_of(again).code is None
        assert [one.message_id for one in site.waiting("failures")] == [other.message_id]

    def test_what_nobody_answered_goes_back_as_it_came(self, site: Site) -> None:
        """Also what a redrive policy moved there: to the first request queue, in the same run."""
        site.send("failures", Message(body='{"job_id": "job-1"}'))
        fail(site, "job-2", run=3, answered=False)
        assert site.run("failed", "retry", "--all").exit_code == 0

        assert [header_of(again).run for again in site.waiting("requests")] == [None, 3]
        assert site.waiting("failures") == []

    def test_another_queue_can_be_named(self, site: Site) -> None:
        """Where the one that it came from is gone, that has to be said."""
        (one,) = fail(site, "job-1", origin="gone")
        refused = site.run("failed", "retry", one)
        assert (refused.exit_code, jobs_on(site, "failures")) == (1, ["job-1"])
        assert "--to" in refused.stderr

        assert site.run("failed", "retry", one, "--to", "slow").exit_code == 0
        assert jobs_on(site, "slow") == ["job-1"]
        assert site.run("failed", "retry", "--all", "--to", "nowhere").exit_code == 1

    def test_a_dry_run_sends_and_removes_nothing(self, site: Site) -> None:
        """It says what would be sent, where and in which run; no file is written either."""
        fail(site, "job-1")
        site.send("failures", Message("x" * MESSAGE_BYTES_MAXIMUM))
        result = site.run("failed", "retry", "--all", "--dry-run", "--json")

        assert [json.loads(line)["run"] for line in result.stdout.splitlines()] == [2, None]
        assert {json.loads(line)["done"] for line in result.stdout.splitlines()} == {"would be sent"}
        assert site.waiting("requests") == []
        assert len(site.waiting("failures")) == 2
        assert not (site.directory / "bucket" / "failed").exists()

    def test_what_leaves_no_room_for_our_header_goes_by_claim_check(self, site: Site) -> None:
        """Into the configured bucket, which workers read."""
        site.send("failures", Message("x" * MESSAGE_BYTES_MAXIMUM))
        assert site.run("failed", "retry", "--all").exit_code == 0

        (stored,) = (site.directory / "bucket" / "failed").iterdir()
        assert stored.stat().st_size == MESSAGE_BYTES_MAXIMUM
        assert str(stored.name) in site.waiting("requests")[0].body

    def test_what_is_too_old_is_left_and_told_unless_it_is_forced(self, site: Site) -> None:
        """It would come back at once; its age counts anew only when somebody takes that on himself."""
        old = datetime.now(UTC) - timedelta(days=31)
        (one,) = fail(site, "job-1", first_sent_at=old, code="too_old", answered=False)
        refused = site.run("failed", "retry", one)
        assert refused.exit_code == 1
        assert "--too-old" in refused.stderr
        assert jobs_on(site, "failures") == ["job-1"]

        assert site.run("failed", "retry", one, "--too-old").exit_code == 0
        (again,) = site.waiting("requests")
        assert header_of(again).first_sent_at == old
        assert header_of(again).renewed_at is not None

    def test_force_makes_no_other_job_younger(self, site: Site) -> None:
        """Only those that would be refused."""
        fail(site, "job-1")
        assert site.run("failed", "retry", "--all", "--too-old").exit_code == 0

        assert header_of(site.waiting("requests")[0]).renewed_at is None

    def test_an_id_that_is_not_there_is_told_and_the_others_are_done(self, site: Site) -> None:
        """The beginning of an id is not enough to change anything."""
        (one,) = fail(site, "job-1")
        result = site.run("failed", "retry", one, "nope")

        assert result.exit_code == 1
        assert result.stderr.startswith("shardworker: nope: no such message")
        assert jobs_on(site, "requests") == ["job-1"]

    def test_what_the_command_itself_made_fail_again_is_left(self, site: Site) -> None:
        """A worker that refuses it at once must not make the command go on for ever."""
        fail(site, "job-1", retried_at=datetime.now(UTC) + timedelta(minutes=1))
        fail(site, "job-2", retried_at=NOW)
        assert site.run("failed", "retry", "--all").exit_code == 0

        assert (jobs_on(site, "requests"), jobs_on(site, "failures")) == (["job-2"], ["job-1"])

    def test_a_retry_from_the_future_is_not_believed(self, site: Site) -> None:
        """Whoever sends a message can write our attribute too, and would keep it from every retry."""
        fail(site, "job-1", retried_at=datetime(9000, 1, 1, tzinfo=UTC))
        assert site.run("failed", "retry", "--all").exit_code == 0

        assert (jobs_on(site, "requests"), jobs_on(site, "failures")) == (["job-1"], [])

    def test_a_queue_that_takes_nothing_leaves_all_where_it_is(self, site: Site) -> None:
        """Nothing is deleted that was not accepted, and what was looked at is back at once."""
        fail(site, "job-1", "job-2", origin=None)
        url = f"sql://{site.directory}/missing.db?queue=requests"
        result = site.run(
            "failed", "retry", "--all", environment={"SHARDWORKER__QUEUES__REQUEST": f'["{url}"]'}
        )

        assert result.exit_code == 1
        assert "shardworker setup" in result.stderr
        assert jobs_on(site, "failures") == ["job-1", "job-2"]

    def test_an_empty_queue_says_so(self, site: Site) -> None:
        """Status 0: there is nothing to do."""
        result = site.run("failed", "retry", "--all")

        assert (result.exit_code, "no such message" in result.stdout) == (0, True)
