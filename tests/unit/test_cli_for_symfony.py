"""The commands where Symfony reads results and signs messages: they read and write as the worker does."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from config.result import decode_result, encode_result, succeeded
from tests.support.site import Site, part
from tests.support.symfony_letters import KEY, headers_of, key_file
from worker.symfony.signing import is_signed_right
from worker.symfony.writing import rename_fields
from worker.transports.base import Message

SECTION = """
[symfony]
result_class = "App\\\\Message\\\\JobResult"
result_fields = {{ job_id = "jobId", finished_at = "finishedAt" }}
signed_types = ["*"]
sign_key_files = ["{key}"]
"""
JOB = {"job_id": "job-1", "type": "orders.insert", "partner_id": "acme", "customers": ["c-1"]}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, extra=SECTION.format(key=key_file(tmp_path))).set_up()


def answer_of(site: Site) -> Message:
    """The result of a job that is done, as it is sent again."""
    body = succeeded("c-1", {"inserted": 1})
    identity = replace(part("job-1", "c-1"), run=1, part_count=1)
    site.part_store("c-1").run(identity, lambda _: body)
    assert site.run("answer", "job-1").exit_code == 0
    (message,) = site.waiting("results")
    return Message(message.body, message.attributes)


def test_an_answer_that_is_sent_again_is_for_symfony_too(site: Site) -> None:
    """Its class, its fields' names and its signature are those of the worker's."""
    message = answer_of(site)
    headers = headers_of(message.attributes)

    assert headers["type"] == "App\\Message\\JobResult"
    assert json.loads(message.body)["jobId"] == "job-1"
    assert is_signed_right(message.body, headers, KEY)


def test_results_with_other_names_are_shown_as_ever(site: Site) -> None:
    """In the table; as JSON each stands as in its message."""
    body = answer_of(site).body
    shown = site.run("results").stdout

    assert "job-1" in shown
    assert "succeeded" in shown
    assert site.run_json("results") == json.loads(body)


@pytest.mark.parametrize("body", ["no json", "[1]", '{"jobId": 7}', "[" * 5000])
def test_what_is_no_result_is_told_as_such(site: Site, body: str) -> None:
    """Other names are no reason to stop at it."""
    site.send("results", Message(body))

    assert "unreadable" in site.run("results").stdout


def test_results_of_before_the_names_changed_are_shown_as_well(site: Site) -> None:
    """They stand on the queue beside the new ones."""
    renamed = answer_of(site).body
    ours = decode_result(rename_fields(renamed, {"jobId": "job_id", "finishedAt": "finished_at"}))
    site.send("results", Message(encode_result(msgspec.structs.replace(ours, job_id="job-of-before"))))

    assert "job-of-before" in site.run("results").stdout


@pytest.mark.parametrize("size", [10, 2_000_000])
def test_a_submitted_job_is_signed_where_it_would_be_refused_without(site: Site, size: int) -> None:
    """Also one that goes by claim check: the signature is that of the job itself."""
    result = site.run("submit", "-", stdin=json.dumps({**JOB, "payload": "x" * size}))
    (message,) = site.waiting("requests")
    files = list((site.directory / "bucket").rglob("*.json"))
    body = files[0].read_text() if files else message.body

    assert result.exit_code == 0
    assert is_signed_right(body, headers_of(message.attributes), KEY)


@pytest.mark.parametrize("command", [["submit", "-"], ["answer", "job-1"]])
def test_without_the_key_s_file_a_command_says_so(site: Site, command: list[str]) -> None:
    """One line, which names the file, and nothing is sent."""
    answer_of(site)
    shutil.move(site.directory / "sign-key", site.directory / "gone")
    result = site.run(*command, stdin=json.dumps(JOB))

    assert result.exit_code == 1
    assert f"{site.directory / 'sign-key'} cannot be read" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_check_looks_at_the_key(site: Site) -> None:
    """Before a worker does: it would not start."""
    found = {(one["name"], one["state"]) for one in site.run_json("check") if one["area"] == "signing key"}
    shutil.move(site.directory / "sign-key", site.directory / "gone")
    result = site.run("check", "--json")
    wrong = [one for one in json.loads(result.stdout) if one["area"] == "signing key"]

    assert found == {(str(site.directory / "sign-key"), "right")}
    assert [one["state"] for one in wrong] == ["wrong"]
    assert result.exit_code == 1
