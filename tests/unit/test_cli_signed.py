"""The commands where jobs are signed: what they send is signed, a retry anew, and no forgery made genuine."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from config.headers import OwnHeader, read_own_header
from config.symfony import Symfony
from tests.support.jobs import held_of
from tests.support.signed_letters import KEY, OTHER_KEY, attributes, key_files, key_id, signature
from tests.support.site import Site
from tests.support.symfony_letters import HEADERS, from_symfony, key_file
from tests.support.symfony_letters import KEY as SYMFONY_KEY
from worker.claim_check import POINTER_CLASS
from worker.envelope import Envelope, open_envelope
from worker.signing_jobs import JobSignatures
from worker.transports.base import Delivery, Message

SECTION = """
[signing]
key_files = {keys}
required_types = ["*"]

[symfony]
sign_key_files = ["{symfony_key}"]
"""
JOB = {"job_id": "job-1", "type": "orders.insert", "partner_id": "acme", "customers": ["c-1"]}
BODY = json.dumps(JOB)
FAILED = {"code": "handler_error", "answered": True, "run": 1, "origin": "requests"}
REFUSED = {"code": "bad_signature", "origin": "requests"}
HOUR = timedelta(hours=1)
EARLIER = datetime.now(UTC).replace(microsecond=0) - HOUR


def site_in(directory: Path, *keys: bytes) -> Site:
    symfony_key = key_file(directory, SYMFONY_KEY, "symfony")
    section = SECTION.format(keys=json.dumps(key_files(directory, *keys)), symfony_key=symfony_key)
    return Site(directory, extra=section).set_up()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site whose key is being changed: the new one signs, the old one is accepted still."""
    return site_in(tmp_path, OTHER_KEY, KEY)


def opened(site: Site, delivery: Delivery, body: str | None = None) -> Envelope:
    """What a worker makes of the message; raises `BadSignature` where it does not believe it."""
    now = datetime.now(UTC)
    held = held_of(delivery.body, attributes=delivery.attributes, sent_at=now, received_at=now)
    signatures = JobSignatures(site.settings.signing, site.settings.symfony)
    return open_envelope(body or delivery.body, held, Symfony(), signatures)


def fail(
    site: Site, header: Mapping[str, Any], signed: str | None, message: Message | None = None
) -> Delivery:
    """Put a message on the failure queue, with our header, and let it be retried; what was sent."""
    beside = {} if message is None else message.attributes
    site.send("failures", Message(BODY, {**beside, **attributes(signed, **header)}))
    assert site.run("failed", "retry", "--all", "--yes").exit_code == 0
    assert site.waiting("failures") == []
    (again,) = site.waiting("requests")
    return again


@pytest.mark.parametrize("size", [10, 2_000_000])
def test_a_submitted_job_is_signed(site: Site, size: int) -> None:
    """With the first key; also one that goes by claim check: the signature is that of the job itself."""
    result = site.run("submit", "-", stdin=json.dumps({**JOB, "run": 3, "payload": "x" * size}))
    (message,) = site.waiting("requests")
    files = list((site.directory / "bucket").rglob("*.json"))
    envelope = opened(site, message, files[0].read_text() if files else None)

    assert (result.exit_code, envelope.run, len(files)) == (0, 3, size // 1_000_000 // 2)
    assert f"v1:{key_id(OTHER_KEY)}:" in str(message.attributes)


@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
def test_a_retry_signs_anew(site: Site, key: bytes) -> None:
    """Its next run is believed, by the first key, and it is no younger than it was."""
    again = fail(site, FAILED, signature(BODY, key, issued_at=EARLIER))
    envelope = opened(site, again)

    assert (envelope.run, envelope.issued_at, envelope.born_at) == (2, EARLIER, EARLIER)
    assert f"v1:{key_id(OTHER_KEY)}:" in str(again.attributes)


def test_a_retry_without_a_new_run_is_signed_by_the_new_key(site: Site) -> None:
    """So that the old key can be taken out when the failure queue was gone through once."""
    again = fail(site, {**FAILED, "answered": False}, signature(BODY, KEY, issued_at=EARLIER))

    assert opened(site, again).run == 1
    assert f"v1:{key_id(OTHER_KEY)}:" in str(again.attributes)


def test_a_retry_signs_the_body_and_not_the_reference_to_it(site: Site) -> None:
    """As a worker verifies it."""
    bucket = site.directory / "bucket"
    (bucket / "body.json").write_text(BODY)
    pointer = json.dumps([POINTER_CLASS, {"s3BucketName": f"file://{bucket}", "s3Key": "body.json"}])
    site.send("failures", Message(pointer, attributes(signature(BODY), **FAILED)))
    assert site.run("failed", "retry", "--all", "--yes").exit_code == 0
    (again,) = site.waiting("requests")

    assert again.body == pointer
    assert opened(site, again, BODY).run == 2


FORGED = signature(BODY, b"a third key that nobody here has at all")


@pytest.mark.parametrize(
    ("header", "signed"),
    [
        (REFUSED, None),
        (REFUSED, FORGED),
        (REFUSED, "v1:"),
        ({**REFUSED, "run": 2}, signature(BODY)),
        ({**FAILED, "answered": False, "renewed_at": "2026-11-21T00:00:00Z"}, signature(BODY)),
        ({**FAILED, "replaced": {"type": ["String", "App\\Other"]}, "answered": False}, signature(BODY)),
        (FAILED, None),
    ],
    ids=[
        "unsigned",
        "another key",
        "another form",
        "raised",
        "renewed",
        "another class",
        "unsigned, answered",
    ],
)
def test_a_retry_makes_no_forgery_genuine(site: Site, header: dict[str, Any], signed: str | None) -> None:
    """What was not signed right is sent as it came: there may be a key for it by now."""
    again = fail(site, header, signed)
    run = 2 if header.get("answered") else header.get("run")

    assert (read_own_header(again.headers).signature, read_own_header(again.headers).run) == (signed, run)
    assert again.body == BODY


def test_what_can_be_signed_no_more_is_left(tmp_path: Path) -> None:
    """Its key was taken out, and its next run would be refused: the command says what to do."""
    site = site_in(tmp_path, OTHER_KEY)
    site.send("failures", Message(BODY, attributes(signature(BODY), **FAILED)))
    result = site.run("failed", "retry", "--all", "--yes")

    assert result.exit_code == 1
    assert "put the key back" in result.stderr
    assert (len(site.waiting("failures")), site.waiting("requests")) == (1, [])


def test_a_retry_of_what_symfony_signed_is_signed_by_us(site: Site) -> None:
    """Symfony's own says nothing of the run; it goes along as it is."""
    message = from_symfony(BODY, key=SYMFONY_KEY)
    again = fail(site, FAILED, None, message)
    envelope = opened(site, again)

    assert envelope.run == 2
    assert envelope.stamps.bus == "messenger.bus.default"
    assert {name: again.attributes[name] for name in message.attributes} == dict(message.attributes)


@pytest.mark.parametrize("header", [{"run": 2}, {"renewed_at": "2026-11-21T00:00:00Z"}])
def test_what_symfony_did_not_sign_of_it_is_not_signed_either(site: Site, header: dict[str, Any]) -> None:
    """A run or an age that somebody wrote into our header."""
    again = fail(site, {**FAILED, "answered": False, **header}, None, from_symfony(BODY, key=SYMFONY_KEY))

    assert read_own_header(again.headers).signature is None


def test_a_signature_of_symfony_s_that_is_wrong_is_not_made_right(site: Site) -> None:
    """As with ours."""
    again = fail(site, REFUSED, None, from_symfony(BODY, HEADERS, b"another"))

    assert read_own_header(again.headers).signature is None


def test_a_job_that_is_retried_though_it_is_too_old_is_signed_with_its_new_age(site: Site) -> None:
    """An operator said so: nobody else can."""
    old = datetime.now(UTC) - timedelta(days=60)
    header = {"code": "too_old", "run": 1, "first_sent_at": old.isoformat(), "origin": "requests"}
    site.send("failures", Message(BODY, attributes(signature(BODY, issued_at=old), **header)))
    refused = site.run("failed", "retry", "--all", "--yes")
    assert site.run("failed", "retry", "--all", "--yes", "--too-old").exit_code == 0
    (again,) = site.waiting("requests")

    assert "--too-old" in refused.stderr
    assert datetime.now(UTC) - opened(site, again).born_at < HOUR


def test_without_keys_a_retry_leaves_a_signature_alone(tmp_path: Path) -> None:
    """The workers verify none either."""
    site = Site(tmp_path).set_up()
    again = fail(site, FAILED, FORGED)

    assert read_own_header(again.headers) == OwnHeader(
        run=2,
        signature=FORGED,
        first_sent_at=read_own_header(again.headers).first_sent_at,
        retried_at=read_own_header(again.headers).retried_at,
    )


@pytest.mark.parametrize(
    ("command", "content"),
    [("submit -", b"tiny-key"), ("submit -", None), ("failed retry --all --yes", b"tiny-key")],
)
def test_a_key_that_cannot_be_used_is_told(site: Site, command: str, content: bytes | None) -> None:
    """One line that names the file and says what to do; nothing is sent, and nothing of the key told."""
    file = site.settings.signing.key_files[1]
    file.unlink() if content is None else file.write_bytes(content)
    result = site.run(*command.split(), stdin=BODY)

    assert result.exit_code == 1
    assert f"signing.key_files: {file}" in result.stderr.replace("the key in ", "")
    assert len(result.stderr.splitlines()) == 1
    assert "tiny-key" not in result.stderr
    assert site.waiting("requests") == []


def test_check_looks_at_the_keys(site: Site) -> None:
    """Before a worker does, which would not start; and tells by which id a signature names each."""
    first, second = site.settings.signing.key_files
    found = {one["name"]: one for one in site.run_json("check") if one["area"] == "signing key"}
    second.write_text("short")
    result = site.run("check", "--json")
    wrong = [one["name"] for one in json.loads(result.stdout) if one["state"] == "wrong"]

    assert [found[str(file)]["state"] for file in (first, second)] == ["right", "right"]
    assert key_id(OTHER_KEY) in found[str(first)]["text"]
    assert (wrong, result.exit_code) == ([str(second)], 1)


def test_check_warns_of_a_type_that_nobody_handles(site: Site) -> None:
    """A slip in its name would leave the type that was meant unsigned."""
    text = site.path.read_text()
    site.path.write_text(text.replace('required_types = ["*"]', 'required_types = ["*", "order.insert"]'))
    doubtful = [one["name"] for one in site.run_json("check") if one["state"] == "warning"]

    assert doubtful == ["order.insert"]


def test_show_tells_why(site: Site) -> None:
    """As of any dead letter: which key it was, by its id."""
    header = {**REFUSED, "reason": "It is signed with the key 0badcafe, which is none of ours."}
    site.send("failures", Message(BODY, attributes(FORGED, **header)))
    (letter,) = site.waiting("failures")

    assert "0badcafe" in site.run("failed", "show", letter.message_id).stdout
