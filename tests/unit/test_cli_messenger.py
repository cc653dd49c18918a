"""Symfony's commands by their own names, and ours with the arguments that theirs take."""

import json
from pathlib import Path

import pytest

from tests.support.site import Site
from worker.cli.errors import SYMFONY_COMMANDS
from worker.transports.base import Message

MAPPED = r"""
[symfony.types]
"App\\Message\\*" = "orders.insert"
"App\\Other" = "prices.update"

[symfony.messages."App\\Import"]
type = "orders.insert"
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path).set_up()


@pytest.mark.parametrize(("theirs", "ours"), SYMFONY_COMMANDS.items())
def test_symfony_s_name_of_a_command_tells_ours(tmp_path: Path, theirs: str, ours: str) -> None:
    """Whatever follows it; and ours is there, and names theirs in its help."""
    result = Site(tmp_path).run(theirs, "requests", "--limit", "3")
    assert result.exit_code == 2
    assert f"`{ours}`" in " ".join(result.stderr.split())

    words = ours.partition("`")[0].split()[1:]
    assert f"`{theirs}" in Site(tmp_path).run(*words, "--help").stdout


def test_another_name_is_an_error_as_ever(tmp_path: Path) -> None:
    """Nothing of Symfony's is guessed."""
    result = Site(tmp_path).run("messenger:consumer")

    assert result.exit_code == 2
    assert "No such command" in result.stderr


class TestStats:
    def test_the_json_of_messenger_stats_is_in_ours(self, site: Site) -> None:
        """Its two keys, beside what we tell more."""
        site.send("slow", Message("{}"), Message("{}"))
        told = json.loads(site.run("stats", "--format", "json").stdout)

        assert told["transports"]["slow"] == {"count": 2}
        assert told["uncountable_transports"] == []
        assert [row["queue"] for row in told["queues"]] == ["requests", "slow", "results", "failures"]

    def test_a_queue_that_cannot_be_asked_is_uncountable(self, site: Site) -> None:
        """As in theirs."""
        (site.directory / "queues.db").unlink()
        told = site.run_json("stats", "slow")

        assert (told["transports"], told["uncountable_transports"]) == ({}, ["slow"])

    def test_names_choose_queues(self, site: Site) -> None:
        """Of any use; one that is not there is an error."""
        told = site.run_json("stats", "slow", "failures")
        assert [row["queue"] for row in told["queues"]] == ["slow", "failures"]

        wrong = site.run("stats", "slwo", "--format", "txt")
        assert wrong.exit_code == 1
        assert "the file has: requests, slow, results, failures." in wrong.stderr


def test_setup_makes_the_named_queues_and_nothing_else(tmp_path: Path) -> None:
    """As messenger:setup-transports with a transport."""
    site = Site(tmp_path)
    made = site.run_json("setup", "results", "slow")

    assert [(step["what"], step["name"]) for step in made] == [
        ("request queue", "slow"),
        ("response queue", "results"),
    ]
    assert not (tmp_path / "eu1.db").exists()
    assert site.run("setup", "other").exit_code == 1


def test_handlers_tells_the_classes_of_a_type_and_the_middleware(tmp_path: Path) -> None:
    """The class that a job type has in the application, in either table of the file."""
    site = Site(tmp_path, extra=MAPPED)
    named = {"SHARDWORKER__HANDLERS__MIDDLEWARE": '["tests.support.executing:Links"]'}
    (entry,) = site.run_json("handlers")
    shown = site.run("handlers", environment=named).stdout

    assert entry["classes"] == ["App\\Import", "App\\Message\\*"]
    assert entry["middleware"] == []
    assert "App\\Import, App\\Message\\*" in shown
    assert "Middleware: tests.support.executing:Links." in shown
