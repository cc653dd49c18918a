"""`shardworker answer`: the result of a job made again from the inboxes, byte for byte but for its times."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.result import error_of, failed, succeeded
from shards.claims import _in_ascii
from shards.inbox import InboxRow, InboxState, PartIdentity
from tests.support.fakes import NOON
from tests.support.site import Site, part
from worker.cli.answer_rows import LINES_MAXIMUM, _unescaped, rebuilt
from worker.cli.errors import CommandError

MISSING_TABLE = error_of("schema_defect", "A table is missing.")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path).set_up()


def identity(customer_id: str, part_no: int, run: int = 1, count: int = 2) -> PartIdentity:
    return replace(part("job-1", customer_id, part_no), run=run, part_count=count)


def succeed(site: Site, customer_id: str, part_no: int, run: int = 1) -> None:
    body = succeeded(customer_id, {"inserted": part_no, "text": "ü"})
    site.part_store(customer_id).run(identity(customer_id, part_no, run), lambda _: body)


def fail(site: Site, customer_id: str, part_no: int, run: int = 1) -> None:
    body = failed(customer_id, MISSING_TABLE)
    site.part_store(customer_id).fail(identity(customer_id, part_no, run), body, dead_letter=True)


def refusal(site: Site, *arguments: str) -> str:
    """What is said of a job that is not answered; nothing is sent."""
    result = site.run("answer", "job-1", *arguments)
    assert result.exit_code == 1
    assert site.waiting("results") == []
    return result.stderr


class TestAnswer:
    def test_the_result_is_sent_with_the_stored_outcomes(self, site: Site) -> None:
        """In the job's order, whichever part was done first."""
        fail(site, "c-2", 1)
        succeed(site, "c-1", 0)
        result = site.run("answer", "job-1")
        (message,) = site.waiting("results")
        body = json.loads(message.body)

        assert result.stdout == "Sent the result of run 1 again: partial, 2 customers.\n"
        assert [entry["customer_id"] for entry in body["customers"]] == ["c-1", "c-2"]
        assert (body["status"], body["run"], message.group) == ("partial", 1, "acme")
        assert succeeded("c-1", {"inserted": 0, "text": "ü"}).decode() in message.body

    def test_a_dry_run_prints_it_and_sends_nothing(self, site: Site) -> None:
        """The same result each time, its times those of the rows."""
        succeed(site, "c-1", 0)
        succeed(site, "c-2", 1)
        first, second = (site.run("answer", "job-1", "--dry-run").stdout for _ in range(2))

        assert first == second
        assert json.loads(first)["status"] == "succeeded"
        assert site.waiting("results") == []

    def test_the_highest_run_is_answered(self, site: Site) -> None:
        """Its own failures, and what had succeeded in a lower run."""
        succeed(site, "c-1", 0)
        fail(site, "c-2", 1)
        fail(site, "c-2", 1, run=2)
        assert site.run("answer", "job-1").exit_code == 0

        assert json.loads(site.waiting("results")[0].body)["run"] == 2

    def test_a_run_that_found_all_done_can_be_asked_for(self, site: Site) -> None:
        """A copy with a higher run leaves no trace in the rows that had succeeded."""
        succeed(site, "c-1", 0)
        succeed(site, "c-2", 1)
        assert site.run("answer", "job-1", "--run", "3").exit_code == 0

        assert json.loads(site.waiting("results")[0].body)["run"] == 3

    def test_a_result_too_large_for_the_queue_goes_to_the_bucket(self, site: Site) -> None:
        """As the worker's would."""
        settings = "".join(f'c-{number}x = "eu2"\n' for number in range(20))
        site.path.write_text(site.path.read_text().replace('c-2 = "eu2"\n', f'c-2 = "eu2"\n{settings}'))
        for number in range(20):
            customer_id = f"c-{number}x"
            body = succeeded(customer_id, "x" * 65_000)
            site.part_store(customer_id).run(identity(customer_id, number, count=20), partial(same, body))
        assert "20 customers" in site.run("answer", "job-1").stdout

        assert (site.directory / "bucket" / "results" / "job-1" / "1.json").is_file()
        assert "results/job-1/1.json" in site.waiting("results")[0].body


def same(body: bytes, _connection: object) -> bytes:
    return body


class TestRefusals:
    def test_a_job_without_a_row_is_refused(self, site: Site) -> None:
        """A rejected one left none."""
        assert "No inbox has a row of the job 'job-1'" in refusal(site)

    def test_a_part_that_has_not_begun_is_named(self, site: Site) -> None:
        """By its number, for no row says whose it is."""
        succeed(site, "c-1", 0)

        assert "Part 2 of 2 has no row" in refusal(site)

    def test_a_part_that_goes_on_is_named_with_its_customer(self, site: Site) -> None:
        """The worker answers when it has ended."""
        succeed(site, "c-1", 0)
        site.part_store("c-2").count_attempt(identity("c-2", 1), 5, lambda _: b"")

        assert "Customer c-2: it has not ended yet (attempts: 1)." in refusal(site)

    def test_a_run_that_is_under_way_is_not_answered(self, site: Site) -> None:
        """One part was run again, the other was not yet: neither run 1 nor run 2 has a final of its own."""
        fail(site, "c-1", 0)
        fail(site, "c-2", 1)
        succeed(site, "c-2", 1, run=2)

        assert "Customer c-1: it failed in run 1, and run 2 has not come to it yet." in refusal(site)
        assert "Customer c-2: run 2 has taken the place of run 1" in refusal(site, "--run", "1")

    def test_a_shard_that_cannot_be_asked_is_named_as_a_reason(self, site: Site) -> None:
        """What is missing may be there."""
        succeed(site, "c-1", 0)
        for file in site.directory.glob("eu2.db*"):
            file.unlink()

        assert "eu2 cannot be asked" in refusal(site)

    def test_a_shard_that_cannot_be_asked_is_no_matter_where_nothing_is_missing(self, site: Site) -> None:
        """Every part was found elsewhere."""
        site.part_store("c-1").run(identity("c-1", 0, count=1), lambda _: succeeded("c-1", None))
        for file in site.directory.glob("eu2.db*"):
            file.unlink()

        assert site.run("answer", "job-1").exit_code == 0

    def test_two_contents_under_one_id_are_not_mixed(self, site: Site) -> None:
        """The rows of a conflict make no answer."""
        succeed(site, "c-1", 0)
        succeed(site, "c-2", 0)

        assert "two contents" in refusal(site)

    def test_many_obstacles_are_told_in_few_lines(self) -> None:
        """A job of thousands of customers must not flood a terminal."""
        rows = [row(f"c-{number}", number, count=500, state=InboxState.OPEN) for number in range(500)]
        with pytest.raises(CommandError) as refused:
            rebuilt("job-1", rows, None, ["eu1 cannot be asked: It is away."])

        assert len(str(refused.value).splitlines()) == LINES_MAXIMUM + 2
        assert "And 480 more." in str(refused.value)


class TestCustomersWhoAreGone:
    def test_their_parts_are_answered_as_the_worker_answers_them(self, site: Site) -> None:
        """In their place in the job; the directory must call them gone."""
        succeed(site, "c-1", 0)
        leave(site, "c-2")
        assert site.run("answer", "job-1", "--gone", "c-2").exit_code == 0
        (message,) = site.waiting("results")

        assert json.loads(message.body)["status"] == "partial"
        assert failed("c-2", error_of("customer_gone", "The customer no longer exists here.")).decode() in (
            message.body
        )

    def test_who_is_there_is_not_answered_for(self, site: Site) -> None:
        """Its part has not begun, or is not known here: that is no failure yet."""
        succeed(site, "c-1", 0)

        assert "Customer c-2: the directory does not call it gone" in refusal(site, "--gone", "c-2")
        assert "Customer c-9: the directory does not call it gone" in refusal(site, "--gone", "c-9")

    def test_an_outcome_that_is_there_decides(self, site: Site) -> None:
        """Whatever is said of its customer."""
        succeed(site, "c-1", 0)
        leave(site, "c-1")

        assert "its part has a row" in refusal(site, "--gone", "c-1")

    def test_they_must_be_as_many_as_the_parts_without_a_row(self, site: Site) -> None:
        """Else nobody knows which part is whose."""
        site.part_store("c-1").run(identity("c-1", 0, count=3), lambda _: succeeded("c-1", None))
        leave(site, "c-2")

        assert "2 parts of the job have no row, and 1 customers were named" in refusal(site, "--gone", "c-2")


def leave(site: Site, customer_id: str) -> None:
    """Let the directory say that the customer is gone."""
    shard = "eu1" if customer_id == "c-1" else "eu2"
    text = site.path.read_text()
    gone = f'{customer_id} = {{ shard = "{shard}", state = "gone" }}'
    site.path.write_text(text.replace(f'{customer_id} = "{shard}"', gone))


def row(customer_id: str, part_no: int, *, count: int, state: InboxState) -> InboxRow:
    return InboxRow(
        job_id="job-1",
        customer_id=customer_id,
        run=1,
        state=state,
        attempt=0,
        starts=0,
        digest="d" * 64,
        part_no=part_no,
        part_count=count,
        job_type="orders.insert",
        partner_id="acme",
        correlation_id=None,
        outcome=None,
        dead_letter=False,
        created_at=NOON,
        finished_at=None,
    )


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\\"), max_size=20))
def test_a_correlation_id_comes_back_from_the_inbox_s_ascii(correlation_id: str) -> None:
    """Whatever characters it is made of, so that the answer has it as the job had."""
    assert _unescaped(_in_ascii(correlation_id)) == correlation_id


def test_escapes_that_the_inbox_never_writes_stay_as_they_are() -> None:
    """Text that only looks like one."""
    for text in (r"\x41", r"\ud800", r"\U00110000", r"C:\users\x"):
        assert _unescaped(text) == text
