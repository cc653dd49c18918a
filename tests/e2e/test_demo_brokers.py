"""`shardworker demo --queue URL`: on each kind of broker the proof is the same as on embedded queues."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.logging_state import logging_restored
from tests.support.private_server import PASSWORD, free_port
from tests.support.rabbitmq import RabbitServer
from tests.support.redis_server import running_redis
from tests.support.sqs_server import SqsServer
from worker.cli import build_app

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 110.0
KEYS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
LETTERS = 47


@pytest.fixture(params=["sqs", "amqp", "redis"])
def broker(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a broker, with its password."""
    if request.param == "sqs":
        with SqsServer() as stand_in:
            yield stand_in.endpoint_url.replace("http", "sqs+http", 1)
    elif request.param == "amqp":
        rabbitmq: RabbitServer = request.getfixturevalue("rabbitmq")
        yield rabbitmq.url("anything")
    else:
        with running_redis() as redis:
            yield redis.url("anything")


def test_the_demo_proves_the_same_on_every_broker(broker: str, tmp_path: Path) -> None:
    """On queues of its own, which it names for removal; the password is in a file that only we can read."""
    run = demo(tmp_path, broker)
    configured = (tmp_path / "config.toml").read_text()
    queues = tomllib.loads(configured)["queues"]
    names = [queues["response"].replace("/", "=").rpartition("=")[2], "shardworker-demo-"]

    assert (run.returncode, run.stderr) == (0, ""), run.stdout + run.stderr
    assert run.stdout.count("PROVED") == 3
    assert all(name in run.stdout.splitlines()[-1] for name in names)
    assert PASSWORD not in configured + run.stdout + (tmp_path / "worker.log").read_text()
    assert_that_the_last_letter_can_be_removed(tmp_path / "config.toml")
    if PASSWORD in broker:
        assert Path(queues["password_file"]).read_text() == PASSWORD
        assert Path(queues["password_file"]).stat().st_mode & 0o077 == 0


def test_a_broker_that_is_not_there_is_told_and_an_earlier_demo_is_kept(tmp_path: Path) -> None:
    """One line says what happened and what to do; nothing was made, and nothing was cleared away."""
    run = demo(tmp_path / "made", f"amqp://user:s3cret@127.0.0.1:{free_port()}/")

    assert run.returncode == 1
    assert run.stderr.startswith("shardworker: Nothing answers at 127.0.0.1:")
    assert "s3cret" not in run.stderr
    assert not (tmp_path / "made").exists()


def assert_that_the_last_letter_can_be_removed(configuration: Path) -> None:
    """A command that looks for one message holds all that come before it, on every kind of queue."""
    variables = {"SHARDWORKER_CONFIG": str(configuration), **KEYS}
    with logging_restored():
        listed = CliRunner().invoke(build_app(), ["failed", "list", "--json", "--max", "1000"], env=variables)
        letters = [json.loads(line)["id"] for line in listed.stdout.splitlines()]
        removed = CliRunner().invoke(build_app(), ["failed", "remove", "--yes", letters[-1]], env=variables)
    assert len(letters) == LETTERS
    assert (removed.exit_code, removed.stdout) == (0, f"{letters[-1]}: removed\n"), removed.output


def demo(directory: Path, queue: str) -> subprocess.CompletedProcess[str]:
    """Run the demo in the directory, on this broker."""
    return subprocess.run(
        [sys.executable, "-m", "worker", "demo", str(directory), "--queue", queue],
        cwd=ROOT,
        env={**os.environ, **KEYS},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
