"""`shardworker submit`: what it checks, what it stores and what it sends."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from config.job import decode_job
from tests.support.site import Site
from worker.claim_check import is_pointer

JOB = {"job_id": "job-1", "type": "orders.insert", "partner_id": "acme", "customers": ["c-1"]}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path).set_up()


def write(site: Site, *jobs: dict[str, Any]) -> str:
    path = site.directory / "jobs.json"
    path.write_text("\n".join(json.dumps(job) for job in jobs), encoding="utf-8")
    return str(path)


def test_a_job_goes_to_the_first_request_queue_in_its_partner_s_group(site: Site) -> None:
    """The id is printed; the message is the job, grouped for fair queueing."""
    result = site.run("submit", write(site, {**JOB, "payload": {"rows": []}, "colour": "red"}))
    (message,) = site.waiting("requests")
    job = decode_job(message.body)

    assert (result.exit_code, result.stdout) == (0, "job-1\n")
    assert (job.job_id, job.payload, job.unknown_fields) == ("job-1", {"rows": []}, {"colour": "red"})
    assert message.group == "acme"


def test_a_job_without_an_id_gets_one(site: Site) -> None:
    """What is printed is what is sent."""
    without = {name: value for name, value in JOB.items() if name != "job_id"}
    result = site.run("submit", "-", stdin=json.dumps(without))
    (message,) = site.waiting("requests")

    assert decode_job(message.body).job_id == result.stdout.strip()
    assert len(result.stdout.strip()) == 32


def test_several_jobs_come_as_lines(site: Site) -> None:
    """Empty lines between them do not matter."""
    lines = "\n\n".join(json.dumps({**JOB, "job_id": f"job-{number}"}) for number in range(250))
    result = site.run("submit", "--lines", "-", stdin=lines)

    assert result.stdout.split() == [f"job-{number}" for number in range(250)]


def test_nothing_is_sent_if_one_of_the_lines_is_wrong(site: Site) -> None:
    """All are checked before the first is sent; the line is told as an editor counts it."""
    lines = f"{json.dumps(JOB)}\n\n{json.dumps({**JOB, 'customers': []})}\n"
    result = site.run("submit", "--lines", "-", stdin=lines)

    assert result.exit_code == 1
    assert result.stderr.startswith("shardworker: Line 3: ")
    assert site.waiting("requests") == []


def test_attachments_are_stored_under_partner_and_job_and_described_in_it(site: Site) -> None:
    """With size and SHA-256 of what was stored, under the file's name or the one given."""
    (site.directory / "lines.csv").write_bytes(b"order_no\n1\n")
    (site.directory / "raw").write_bytes(b"{}\n")
    attach = [
        "--attach",
        str(site.directory / "lines.csv"),
        "--attach",
        f"more.jsonl={site.directory / 'raw'}",
    ]
    result = site.run("submit", write(site, JOB), *attach)
    first, second = decode_job(site.waiting("requests")[0].body).attachments

    assert result.exit_code == 0
    assert (first.name, first.key, first.size, first.content_type) == (
        "lines.csv",
        "acme/job-1/lines.csv",
        11,
        "text/csv",
    )
    assert first.sha256 == hashlib.sha256(b"order_no\n1\n").hexdigest()
    assert second.name == "more.jsonl"
    assert (site.directory / "bucket" / second.key).read_bytes() == b"{}\n"


def test_a_file_with_an_equals_sign_in_its_name_is_attached_as_it_is(site: Site) -> None:
    """The existing file is meant, not a name for another one."""
    path = site.directory / "a=b.csv"
    path.write_bytes(b"x")
    site.run("submit", write(site, JOB), "--attach", str(path))

    assert decode_job(site.waiting("requests")[0].body).attachments[0].name == "a=b.csv"


@pytest.mark.parametrize(
    ("job", "told"),
    [
        ({**JOB, "customers": ["c-1", "c-1"]}, "more than once"),
        ({"type": "x"}, "A field does not have its form"),
        ([], "no object"),
    ],
)
def test_a_job_that_breaks_the_contract_is_refused_in_one_line(site: Site, job: Any, told: str) -> None:
    """It would only come back as rejected."""
    result = site.run("submit", "-", stdin=json.dumps(job))

    assert result.exit_code == 1
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert site.waiting("requests") == []


def test_a_bad_job_leaves_no_attachment_behind(site: Site) -> None:
    """Nothing is stored before the whole job is checked."""
    (site.directory / "lines.csv").write_bytes(b"x")
    attach = ["--attach", f"same={site.directory / 'lines.csv'}"] * 2
    result = site.run("submit", write(site, JOB), *attach)

    assert result.exit_code == 1
    assert "same name" in result.stderr
    assert list((site.directory / "bucket").rglob("*")) == []


def test_an_attachment_above_the_limit_is_refused(site: Site) -> None:
    """The worker would refuse it too."""
    (site.directory / "large.csv").write_bytes(b"x" * 1025)
    result = site.run("submit", write(site, JOB), "--attach", str(site.directory / "large.csv"))

    assert result.exit_code == 1
    assert "max_size is 1024" in result.stderr


def test_files_that_cannot_be_read_are_told(site: Site) -> None:
    """The job's and the attachments', with the system's reason."""
    missing = site.run("submit", str(site.directory / "none.json"))
    (site.directory / "latin.json").write_bytes(b'{"type": "\xe9"}')
    latin = site.run("submit", str(site.directory / "latin.json"))
    attachment = site.run("submit", write(site, JOB), "--attach", str(site.directory / "none.csv"))

    assert "No such file" in missing.stderr
    assert "no UTF-8" in latin.stderr
    assert "none.csv cannot be read" in attachment.stderr
    assert {missing.exit_code, latin.exit_code, attachment.exit_code} == {1}


def test_a_delayed_job_is_not_seen_yet(site: Site) -> None:
    """The queue holds it back."""
    result = site.run("submit", write(site, JOB), "--delay", "10m")

    assert result.exit_code == 0
    assert site.waiting("requests") == []


def test_a_wrong_duration_and_attachments_to_many_jobs_are_wrong_usage(site: Site) -> None:
    """Status 2, and what was expected."""
    delay = site.run("submit", write(site, JOB), "--delay", "soon")
    attach = site.run("submit", write(site, JOB), "--lines", "--attach", "x")

    assert (delay.exit_code, attach.exit_code) == (2, 2)
    assert "expected a duration such as '30s'" in delay.stderr
    assert "--attach works with one job" in attach.stderr


def test_a_job_too_large_for_the_queue_goes_by_claim_check(site: Site) -> None:
    """The message refers to an object in the configured bucket."""
    result = site.run("submit", write(site, {**JOB, "payload": "x" * 1_100_000}))
    (message,) = site.waiting("requests")

    assert result.exit_code == 0
    assert is_pointer(message.body)
    assert "x" * 1000 in (site.directory / "bucket" / "requests" / "job-1" / "1.json").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("large", [False, True])
def test_a_dry_run_is_the_same_job_that_only_asks(site: Site, *, large: bool) -> None:
    """Whatever the file says; its body lies elsewhere than the real job's, which may follow at once."""
    job = {**JOB, "payload": "x" * 1_100_000 if large else "x", "dry_run": False}
    asked = site.run("submit", "--dry-run", write(site, job))
    sent = site.run("submit", write(site, job))
    bodies = [message.body for message in site.waiting("requests")]
    if large:
        stored = site.directory / "bucket" / "requests" / "job-1"
        bodies = [(stored / name).read_text(encoding="utf-8") for name in ("1.dry.json", "1.json")]
    asking, real = map(decode_job, bodies)

    assert (asked.exit_code, sent.exit_code) == (0, 0)
    assert (asking.dry_run, real.dry_run) == (True, False)
    assert asking.payload == real.payload
