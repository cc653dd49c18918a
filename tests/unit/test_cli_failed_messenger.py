"""`shardworker failed` with the options of `messenger:failed:*`."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from config.headers import OwnHeader
from tests.support.failed_letters import NOW, fail, jobs_on
from tests.support.jobs import job_fields
from tests.support.site import Site, dead_letter
from worker.transports.base import Attribute, Message

IMPORT, EXPORT = "App\\Message\\ImportJob", "App\\Message\\ExportJob"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site with five failed messages: of two of Symfony's classes, and of no class."""
    site = Site(tmp_path).set_up()
    send(site, "job-1", IMPORT, code="unknown_type")
    send(site, "job-2", IMPORT)
    send(site, "job-3", EXPORT, origin="slow")
    fail(site, "job-4", "job-5")
    return site


def send(site: Site, job_id: str, class_name: str, **header: str) -> None:
    """Put a message of a class on the failure queue."""
    own = replace(OwnHeader(code="handler_error", origin="requests", run=1), **header)
    letter = dead_letter(json.dumps(job_fields(job_id=job_id)), own)
    typed = {**letter.attributes, "type": Attribute("String", class_name)}
    site.send("failures", Message(letter.body, typed))


@pytest.mark.parametrize(
    ("options", "job_ids"),
    [
        (["--class-filter", IMPORT], ["job-1", "job-2"]),
        (["--class-filter", f"\\{EXPORT}"], ["job-3"]),
        (["--class-filter", "ImportJob"], []),
        (["--transport", "slow"], ["job-3"]),
        (["--transport", "requests", "--class-filter", IMPORT, "--max", "1"], ["job-1"]),
        (["--transport", "failures"], ["job-1", "job-2", "job-3", "job-4", "job-5"]),
        (["--transport", "other"], []),
    ],
)
def test_messages_are_chosen_by_class_and_by_queue(
    site: Site, options: list[str], job_ids: list[str]
) -> None:
    """In the list as in what changes something; there is one failure queue, which its name means."""
    for command in (["list"], ["remove", "--all", "--dry-run"], ["retry", "--all", "--dry-run"], ["export"]):
        lines = site.run("failed", *command, *(["--json"] if command != ["export"] else []), *options)
        assert sorted(json.loads(line)["job_id"] for line in lines.stdout.splitlines()) == job_ids


class TestStats:
    def test_messages_are_counted_by_class_type_and_code(self, site: Site) -> None:
        """The most first; they stay, to be seen at once."""
        lines = site.run("failed", "list", "--stats", "--json").stdout.splitlines()
        shown = site.run("failed", "list", "--stats", "--transport", "slow").stdout

        assert [tuple(json.loads(line).values()) for line in lines] == [
            (None, "orders.insert", "handler_error", 2),
            (IMPORT, "orders.insert", "unknown_type", 1),
            (IMPORT, "orders.insert", "handler_error", 1),
            (EXPORT, "orders.insert", "handler_error", 1),
        ]
        assert EXPORT in shown
        assert IMPORT not in shown
        assert len(jobs_on(site, "failures")) == 5

    def test_all_are_counted_whatever_the_list_shows(self, site: Site) -> None:
        """The list's limit is for people's eyes."""
        lines = site.run("failed", "list", "--stats", "--json", "--max", "1").stdout.splitlines()

        assert sum(json.loads(line)["count"] for line in lines) == 5


def test_removed_messages_can_be_shown_first(site: Site) -> None:
    """Whole: nothing else keeps them."""
    (one,) = [message for message in site.waiting("failures") if "job-3" in message.body]
    removed = site.run("failed", "remove", one.message_id, "--show-messages", "--force")

    assert removed.exit_code == 0
    assert one.body in removed.stdout
    assert removed.stdout.index(EXPORT) < removed.stdout.index("removed")
    assert "job-3" not in jobs_on(site, "failures")


def test_force_asks_nobody_and_means_nothing_else(tmp_path: Path) -> None:
    """As Symfony's: what is too old to be run again stays all the same."""
    site = Site(tmp_path).set_up()
    fail(site, "job-1")
    fail(site, "job-2", first_sent_at=NOW.replace(year=2020), answered=False)
    result = site.run("failed", "retry", "--all", "--force")

    assert result.exit_code == 1
    assert "--too-old" in result.stderr
    assert (jobs_on(site, "requests"), jobs_on(site, "failures")) == (["job-1"], ["job-2"])
