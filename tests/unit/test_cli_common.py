"""What all commands share: help, errors on one line, and the exit status."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.site import Site
from worker.cli import build_app
from worker.cli.errors import CommandError, exit_status
from worker.transports.base import TransportError

COMMANDS = [
    "consume",
    "submit",
    "results",
    "explain",
    "check",
    "setup",
    "handlers",
    "failed list",
    "failed show",
    "shards list",
    "shards check",
    "shards migrate",
    "shards pause",
    "shards resume",
    "shards purge",
]
MIRRORED = {
    "consume": "messenger:consume",
    "submit": "$bus->dispatch()",
    "setup": "messenger:setup-transports",
    "handlers": "debug:messenger",
    "failed list": "messenger:failed:show",
    "failed show": "messenger:failed:show",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_and_names_its_configuration(command: str) -> None:
    """A newcomer reads what it does, and which option names the file."""
    result = CliRunner().invoke(build_app(), [*command.split(), "--help"])

    assert result.exit_code == 0
    assert "--config" in result.stdout
    assert MIRRORED.get(command, "") in " ".join(result.stdout.split())


def test_the_list_of_commands_shows_first_steps() -> None:
    """Without a command the help is shown, as wrong usage."""
    result = CliRunner().invoke(build_app(), [])

    assert result.exit_code == 2
    assert "First steps" in result.output


@pytest.mark.parametrize("command", ["consume", "stats", "setup"])
def test_a_queue_that_is_not_configured_is_told_without_its_password(tmp_path: Path, command: str) -> None:
    """Whoever gives a whole URL in place of a name sees it again, but for its password."""
    result = Site(tmp_path).run(command, "amqp://user:s3cret@mq/?queue=jobs")

    assert result.exit_code != 0
    assert "s3cret" not in result.output
    assert "user:***@mq" in result.stderr


def test_every_option_has_a_help_text() -> None:
    """The version's as well, which is no command's."""
    lines = CliRunner().invoke(build_app(), ["--help"]).stdout.splitlines()

    assert any(re.search(r"--version +\w", line) for line in lines)


def test_the_version_is_the_package_s() -> None:
    """One line; a checkout that is not installed has none to tell."""
    result = CliRunner().invoke(build_app(), ["--version"])

    assert result.exit_code == 0
    assert re.fullmatch(
        r"shardworker( \d+\.\d+\.\d+.*|, run from a checkout that is not installed)\n", result.stdout
    )


@pytest.mark.parametrize(
    "command", ["consume", "check", "setup", "handlers", "results", "failed list", "explain x"]
)
def test_a_wrong_configuration_is_told_line_by_line_with_status_78(tmp_path: Path, command: str) -> None:
    """Each problem is a line on stderr; nothing is on stdout, no traceback anywhere."""
    path = tmp_path / "config.toml"
    path.write_text("[worker]\nconcurency = 2\nlease = 5\n", encoding="utf-8")
    result = CliRunner().invoke(build_app(), [*command.split(), "--config", str(path)])

    assert result.exit_code == 78
    assert result.stdout == ""
    assert 'shardworker: worker.concurency: unknown key; did you mean "concurrency"?' in result.stderr
    assert len(result.stderr.splitlines()) == 3
    assert all(line.startswith("shardworker: ") for line in result.stderr.splitlines())


def test_a_missing_file_says_how_to_name_one(tmp_path: Path) -> None:
    """The first thing that a newcomer meets."""
    result = CliRunner().invoke(
        build_app(), ["check"], env={"SHARDWORKER_CONFIG": str(tmp_path / "none.toml")}
    )

    assert result.exit_code == 78
    assert "name one with --config or SHARDWORKER_CONFIG" in result.stderr


def test_an_override_by_a_variable_reaches_the_command(tmp_path: Path) -> None:
    """The commands see the same environment as the daemon."""
    site = Site(tmp_path)
    result = site.run("handlers", "--json", environment={"SHARDWORKER__HANDLERS__INSERT": "[]"})

    assert json.loads(result.stdout) == []


def test_a_queue_url_that_only_its_transport_refuses_is_a_wrong_configuration(tmp_path: Path) -> None:
    """The file's own check is coarse; the transport's message says the rest."""
    site = Site(tmp_path)
    result = site.run("results", environment={"SHARDWORKER__QUEUES__RESPONSE": "sqs://results.lifo"})

    assert result.exit_code == 78
    assert "no queue name" in result.stderr


def test_a_handler_module_that_is_not_there_is_a_wrong_configuration(tmp_path: Path) -> None:
    """It will not come by trying again."""
    site = Site(tmp_path)
    result = site.run("handlers", environment={"SHARDWORKER__HANDLERS__MODULES": '["no.such.module"]'})

    assert result.exit_code == 78
    assert "no.such.module" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_only_expected_errors_are_told_without_a_traceback() -> None:
    """A defect of the program keeps its traceback: somebody has to find it."""
    assert exit_status(CommandError("x")) == 1
    assert exit_status(TransportError("x")) == 1
    assert exit_status(ZeroDivisionError("x")) is None
