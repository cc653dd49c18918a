"""`shardworker failed`: the failure queue listed, filtered, emptied and exported."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from config.headers import OwnHeader
from config.stamps import ERROR_DETAILS, REDELIVERY, SENT_TO_FAILURE_TRANSPORT, Stamps
from tests.support.failed_letters import FAILED, NOW, fail, jobs_on
from tests.support.jobs import job_fields
from tests.support.site import Site, dead_letter
from worker.symfony.header_map import fold
from worker.transports.base import Attribute, Message


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path).set_up()


class TestLooking:
    def test_the_list_says_what_failed_why_and_where_it_came_from(self, site: Site) -> None:
        """All that is known of each message, and how to see one whole."""
        site.send(
            "failures",
            dead_letter(json.dumps({"job_id": "job-1", "partner_id": "acme", "type": "t"}), FAILED),
        )
        result = site.run("failed", "list")

        assert result.exit_code == 0
        for word in (
            "job-1",
            "acme",
            "schema_defect",
            "The table orders is missing.",
            "2026-11-21 10:00:00Z",
        ):
            assert word in result.stdout
        assert "shardworker failed show ID" in result.stdout

    def test_times_from_the_future_are_not_believed(self, site: Site) -> None:
        """Whoever sends a message can write our attribute too, and would be above all filters."""
        future = datetime(9000, 1, 1, tzinfo=UTC)
        site.send("failures", dead_letter("{}", replace(FAILED, failed_at=future, first_sent_at=future)))
        entry = json.loads(site.run("failed", "list", "--json").stdout)

        assert entry["failed_at"] == entry["first_sent_at"] < "9000"
        assert site.run("failed", "list", "--json", "--since", "8000-01-01").stdout == ""

    def test_the_list_as_json_has_a_line_for_each(self, site: Site) -> None:
        """Times in RFC 3339, the reason with its code."""
        site.send("failures", dead_letter('{"job_id": "job-1", "partner_id": 7}', FAILED))
        entry = json.loads(site.run("failed", "list", "--json").stdout)

        assert entry.pop("id")
        assert entry == {
            "job_id": "job-1",
            "run": 2,
            "partner_id": None,
            "type": None,
            "code": "schema_defect",
            "reason": "The table orders is missing.",
            "attempt": 5,
            "answered": True,
            "first_sent_at": "2026-11-21T09:00:00Z",
            "failed_at": "2026-11-21T10:00:00Z",
            "origin": "requests",
            "receiver": None,
            "retry_count": 0,
        }

    def test_what_symfony_gave_up_is_listed_with_what_its_stamps_say(self, site: Site) -> None:
        """The exception as code and reason, cut as any reason is; what has another form is left out."""
        told = Stamps().adding(ERROR_DETAILS, {"exceptionClass": 7, "exceptionMessage": "x" * 5000})
        told = told.adding(REDELIVERY, {"retryCount": 3}).adding(REDELIVERY, {"retryCount": 0})
        told = told.adding(SENT_TO_FAILURE_TRANSPORT, {"originalReceiverName": "async"})
        site.send("failures", Message("{}", fold(told.headers())))
        entry = json.loads(site.run("failed", "list", "--json").stdout)

        assert (entry["code"], entry["reason"], entry["origin"]) == (None, "x" * 1000, None)
        assert (entry["receiver"], entry["retry_count"]) == ("async", 3)

    def test_a_message_without_a_readable_body_or_reason_is_listed(self, site: Site) -> None:
        """Whatever lies there is seen."""
        site.send("failures", Message(body='a:1:{s:3:"job";}'))

        assert site.run_json("failed", "list")["code"] is None
        assert "requests" not in site.run("failed", "list").stdout

    def test_an_empty_queue_says_so(self, site: Site) -> None:
        """No empty table."""
        assert "no message" in site.run("failed", "list").stdout

    def test_a_filter_that_nothing_fits_is_not_an_empty_queue(self, site: Site) -> None:
        """Whoever mistyped a code must not go home."""
        fail(site, "job-1")

        listed = site.run("failed", "list", "--code", "schema_defetc").stdout
        assert listed == "None of the 1 messages that were looked at fits the filters.\n"

    def test_one_is_shown_whole(self, site: Site) -> None:
        """With its body as it came, found by its id."""
        site.send("failures", dead_letter('{"job_id": "job-1"}', FAILED))
        (message,) = site.waiting("failures")
        shown = site.run("failed", "show", message.message_id)
        as_json = site.run_json("failed", "show", message.message_id)

        assert '{"job_id": "job-1"}' in shown.stdout
        assert "host:1" in shown.stdout
        assert as_json["body"] == '{"job_id": "job-1"}'
        assert "Shardworker" in as_json["headers"]
        assert message.receipt == "" or message.receipt not in shown.stdout

    def test_an_id_that_is_not_there_is_an_error(self, site: Site) -> None:
        """It says where ids are listed."""
        result = site.run("failed", "show", "nope")

        assert result.exit_code == 1
        assert "shardworker failed list" in result.stderr

    def test_an_id_that_fits_several_is_an_error_unless_one_is_it_exactly(self, site: Site) -> None:
        """An abbreviation must tell one message."""
        site.send("failures", *(Message(body=str(number)) for number in range(12)))
        ids = [message.message_id for message in site.waiting("failures")]
        several = next(name[:1] for name in ids if sum(other.startswith(name[:1]) for other in ids) > 1)
        result = site.run("failed", "show", several)

        assert (result.exit_code == 0) is (several in ids)
        assert site.run("failed", "show", ids[0]).exit_code == 0


class TestFilters:
    @pytest.mark.parametrize(
        ("options", "job_ids"),
        [
            (["--code", "schema_defect"], ["job-2"]),
            (["--reason", "TABLE orders"], ["job-2"]),
            (["--type", "orders.insert"], ["job-1", "job-2"]),
            (["--type", "orders.insert", "--partner", "zeta"], ["job-2"]),
            (["--since", "2026-11-21T10:00:00Z"], ["job-1", "job-3"]),
            (["--until", "2026-11-21T09:00:00"], ["job-2"]),
            (["--since", "1h"], ["job-3"]),
            (["--max", "1"], ["job-1"]),
            (["--max", "1", "--partner", "zeta"], ["job-2"]),
        ],
    )
    def test_each_narrows_what_is_meant(self, site: Site, options: list[str], job_ids: list[str]) -> None:
        """Alone and together; the list shows what retry and remove would take."""
        fail(site, "job-1", failed_at=NOW)
        header = OwnHeader(code="schema_defect", reason="The table orders is missing.", failed_at=NOW)
        early = replace(header, failed_at=NOW - timedelta(hours=1))
        site.send("failures", dead_letter(json.dumps(job_fields(job_id="job-2", partner_id="zeta")), early))
        site.send("failures", Message(body=json.dumps({"job_id": "job-3"})))
        listed = site.run("failed", "list", "--json", *options).stdout.splitlines()
        planned = site.run("failed", "remove", "--all", "--dry-run", "--json", *options).stdout.splitlines()

        assert [json.loads(line)["job_id"] for line in listed] == job_ids
        assert [json.loads(line)["job_id"] for line in planned] == job_ids

    def test_a_moment_that_is_none_is_a_usage_error(self, site: Site) -> None:
        """It says what was expected."""
        result = site.run("failed", "list", "--since", "yesterday")

        assert result.exit_code == 2
        assert "how long ago" in result.stderr

    @pytest.mark.parametrize("arguments", [[], ["5", "--all"]])
    @pytest.mark.parametrize("command", ["retry", "remove"])
    def test_many_are_never_meant_by_saying_nothing(
        self, site: Site, command: str, arguments: list[str]
    ) -> None:
        """Ids, or --all: neither or both is a usage error, and nothing is done."""
        fail(site, "job-1")

        assert site.run("failed", command, *arguments).exit_code == 2
        assert jobs_on(site, "failures") == ["job-1"]


class TestRemove:
    def test_only_what_was_named_is_removed(self, site: Site) -> None:
        """Two of three; a third id that is not there is told."""
        one, _, three = fail(site, "job-1", "job-2", "job-3")
        result = site.run("failed", "remove", one, three, "999")

        assert result.exit_code == 1
        assert "999" in result.stderr
        assert jobs_on(site, "failures") == ["job-2"]
        assert result.stdout.count("removed") == 2

    def test_all_of_a_kind_are_removed(self, site: Site) -> None:
        """More than one batch, at most as many as were asked for."""
        fail(site, *(f"job-{number}" for number in range(25)))
        fail(site, "other", code="too_old")
        assert site.run("failed", "remove", "--all", "--code", "handler_error", "--max", "23").exit_code == 0

        assert jobs_on(site, "failures") == ["job-23", "job-24", "other"]


class TestExport:
    def test_each_message_is_a_line_with_all_that_it_has(self, site: Site) -> None:
        """Body, attributes with their types, reason, times; nothing is removed or left hidden."""
        letter = dead_letter('{"job_id": "job-1"}', FAILED)
        attributes = {"b": Attribute("Binary", b"\x00"), "n": Attribute("Number", "7")}
        site.send("failures", Message(letter.body, {**letter.attributes, **attributes}))
        fail(site, "job-2")
        result = site.run("failed", "export")
        first, second = map(json.loads, result.stdout.splitlines())

        assert first["attributes"] == {"b": ["Binary", "AA=="], "n": ["Number", "7"]}
        assert (first["body"], first["code"]) == ('{"job_id": "job-1"}', "schema_defect")
        assert first["failed_at"] == "2026-11-21T10:00:00Z"
        assert json.loads(second["body"])["job_id"] == "job-2"
        assert len(site.waiting("failures")) == 2

    def test_a_file_is_new_and_its_owner_s_alone(self, site: Site) -> None:
        """An earlier export is never written over."""
        fail(site, "job-1", "job-2")
        file = site.directory / "failed.jsonl"
        first = site.run("failed", "export", "--file", str(file), "--max", "1")
        second = site.run("failed", "export", "--file", str(file))

        assert (first.exit_code, first.stdout, second.exit_code) == (0, "", 1)
        assert file.stat().st_mode & 0o777 == 0o600
        assert len(file.read_text().splitlines()) == 1
        assert "cannot be made" in second.stderr
