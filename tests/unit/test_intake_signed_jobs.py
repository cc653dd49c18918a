"""Jobs with signatures of our own at the intake: who is believed, and in what."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.core import Site
from tests.support.fakes import NOON
from tests.support.intake import rejection_of
from tests.support.jobs import inbox_rows, job_fields, orders
from tests.support.memory_queue import MemoryPlace
from tests.support.signed_letters import KEY, OTHER_KEY, attributes, key_files, key_id, signature, signed
from tests.support.symfony_letters import CLASS, from_symfony, key_file
from tests.support.symfony_letters import KEY as SYMFONY_KEY
from worker.claim_check import POINTER_CLASS
from worker.conclusion import Answer, Bury, Conclusion
from worker.transports.base import Attribute, Message

JOB = job_fields()
BODY = json.dumps(JOB)
LATER = "2026-12-01T00:00:00Z"


@pytest.fixture
def signed_site(tmp_path: Path) -> Iterator[Site]:
    """A site at which every message has to be signed, in either way; Symfony's class is one that is."""
    symfony = {
        "types": {CLASS: "orders.insert"},
        "signed_types": [CLASS],
        "sign_key_files": [key_file(tmp_path, SYMFONY_KEY)],
    }
    queues = {name: f"sql://{tmp_path}/queues.db?queue={name}" for name in ("response", "failure")}
    requests = [f"sql://{tmp_path}/queues.db?queue=requests"]
    checks = {"request": requests, **queues, "claim_check_buckets": ["checks"]}
    signing = {"key_files": key_files(tmp_path, KEY), "required_types": ["*"]}
    with closing(Site(tmp_path, symfony=symfony, queues=checks, signing=signing)) as site:
        yield site


def conclude(site: Site, message: Message, **held: Any) -> Conclusion:
    """What becomes of a message."""
    return site.conclude(message.body, attributes=message.attributes, **held)


def is_believed_in_nothing(site: Site, message: Message, **held: Any) -> bool:
    """Whether it is buried, unanswered, and has left nothing."""
    conclusion = conclude(site, message, **held)
    if isinstance(conclusion, Answer):
        return False
    assert isinstance(conclusion, Bury)
    assert conclusion.dead_letter.code == "bad_signature"
    assert site.settled[-1].facts.identity is None
    return (inbox_rows(site.path), orders(site.path)) == ([], [])


def test_a_job_that_is_signed_right_runs(signed_site: Site) -> None:
    """Its run is the signed one."""
    conclusion = conclude(signed_site, signed(JOB, run=4))

    assert isinstance(conclusion, Answer)
    assert (conclusion.status, json.loads(conclusion.body)["run"]) == ("succeeded", 4)


RIGHT = signature(BODY)
FORGERIES: dict[str, Message] = {
    "unsigned": Message(BODY),
    "another key": signed(JOB, OTHER_KEY),
    "another body": Message(json.dumps(job_fields(payload={"order_no": 2})), attributes(RIGHT)),
    "a space more": Message(f"{BODY} ", attributes(RIGHT)),
    "a higher run": Message(BODY, attributes(RIGHT, run=2)),
    "another type": Message(BODY, {**attributes(RIGHT), "type": Attribute("String", CLASS)}),
    "folded type": Message(BODY, attributes(RIGHT, folded={"type": CLASS})),
    "a renewed age": Message(BODY, attributes(RIGHT, renewed_at="2026-11-21T11:00:00Z")),
    "another form": Message(BODY, attributes("v9:")),
    "the body's own": Message(json.dumps({**JOB, "Shardworker": {"signature": RIGHT}})),
    "an unreadable header": Message(BODY, attributes(RIGHT, attempt="no number")),
    "no json": Message("no json", attributes(RIGHT)),
    "of php": Message('O:8:"stdClass":0:{}'),
    "no job": Message(json.dumps({"job_id": "job-1", "partner_id": "acme"})),
    "a bad job": Message(json.dumps({**JOB, "customers": []})),
    "an unknown class": Message(BODY, {"type": Attribute("String", "App\\Unknown")}),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_any_other_is_believed_in_nothing(signed_site: Site, name: str) -> None:
    """No answer, though a job id can be read in it; no row; for the operator the reason and the code."""
    assert is_believed_in_nothing(signed_site, FORGERIES[name])


def test_the_reason_says_what_to_do_and_nothing_that_is_secret(signed_site: Site) -> None:
    """Which key is named, and no signature, key or body."""
    told = {name: str(conclude(signed_site, one)) for name, one in FORGERIES.items()}

    assert key_id(OTHER_KEY) in told["another key"]
    assert key_id(KEY) in told["another body"]
    assert "have to be signed" in told["unsigned"]
    for reason in told.values():
        assert KEY.decode() not in reason
        assert RIGHT.rpartition(":")[2] not in reason
        assert "order_no" not in reason


def test_whoever_is_believed_is_told_what_is_wrong(signed_site: Site) -> None:
    """A signed message that is no job is answered as ever, if it can be read who asks."""
    empty = signed(job_fields(customers=[]))
    text = BODY.replace('"order_no": 1', '"order_no": 1234567890.12345678901')
    inexact = Message(text, attributes(signature(text)))

    for message in (empty, inexact):
        assert rejection_of(conclude(signed_site, message)) == ("rejected", "bad_message", "bad_message")


def test_no_type_can_be_made_a_class(tmp_path: Path) -> None:
    """A header that names the very type would have the signed body read as a message of Symfony's."""
    signing = {"key_files": key_files(tmp_path, KEY), "required_types": ["*"]}
    body = json.dumps(job_fields(type="others.insert"))
    headed = {**attributes(signature(body)), "type": Attribute("String", "others.insert")}
    with closing(Site(tmp_path, signing=signing, symfony={"types": {"*": "orders.insert"}})) as site:
        assert is_believed_in_nothing(site, Message(body, headed))


def test_an_expired_job_is_rejected(signed_site: Site) -> None:
    """By its signed moment: putting it off makes the signature wrong, in the body as much as beside it."""
    expired = signed(job_fields(expires_at="2026-11-21T11:59:59Z"))
    put_off = Message(expired.body.replace("11:59:59", "12:59:59"), expired.attributes)

    assert is_believed_in_nothing(signed_site, put_off)
    assert rejection_of(conclude(signed_site, expired)) == ("rejected", "expired", "expired")


def test_a_job_is_as_old_as_its_signature(signed_site: Site) -> None:
    """A copy that somebody kept is refused when no inbox knows any more whether it ran."""
    retention = signed_site.settings.inbox.retention
    kept = signed(JOB, issued_at=NOON - retention - timedelta(seconds=1))
    conclusion = conclude(signed_site, kept, sent_at=NOON)

    assert isinstance(conclusion, Bury)
    assert conclusion.dead_letter.code == "too_old"
    assert isinstance(conclude(signed_site, signed(JOB, issued_at=NOON - retention)), Answer)


def test_a_scheduled_job_is_as_old_as_its_trigger(signed_site: Site) -> None:
    """It may be signed a year before: what wrote it is not there when it is sent."""
    schedule = {"kind": "scheduler", "name": "n", "group": "g", "trigger_at": "2026-11-21T11:00:00Z"}
    job = signed(job_fields(schedule=schedule), issued_at=NOON - timedelta(days=365))

    assert isinstance(conclude(signed_site, job), Answer)


def test_a_body_by_claim_check_is_verified_itself(signed_site: Site) -> None:
    """The signature is that of the body, wherever it lies; the reference can be anybody's."""
    signed_site.objects.put("checks", "a", BODY.encode())
    signed_site.objects.put("checks", "b", json.dumps(job_fields(job_id="job-2")).encode())

    def pointer(key: str) -> Message:
        reference = json.dumps([POINTER_CLASS, {"s3BucketName": "checks", "s3Key": key}])
        return Message(reference, attributes(RIGHT))

    assert is_believed_in_nothing(signed_site, pointer("b"))
    assert isinstance(conclude(signed_site, pointer("a")), Answer)


class TestBesideSymfony:
    def test_a_message_that_symfony_signed_runs(self, signed_site: Site) -> None:
        """One right signature is enough, of either kind."""
        assert isinstance(conclude(signed_site, from_symfony(BODY, key=SYMFONY_KEY)), Answer)

    def test_it_gets_no_other_run(self, signed_site: Site) -> None:
        """Symfony's signature says nothing of the run in our header: only a signature of ours does."""
        message = from_symfony(BODY, key=SYMFONY_KEY)
        raised = Message(BODY, {**message.attributes, **attributes(None, run=2)})

        assert is_believed_in_nothing(signed_site, raised)

    def test_it_gets_no_younger(self, signed_site: Site) -> None:
        """A renewed age that nobody signed is as if it were not there."""
        body = json.dumps(job_fields(submitted_at="2026-01-01T00:00:00Z"))
        message = from_symfony(body, key=SYMFONY_KEY)
        renewed = attributes(None, renewed_at="2026-11-21T11:00:00Z", run=1)
        conclusion = conclude(signed_site, Message(body, {**message.attributes, **renewed}))

        assert isinstance(conclusion, Bury)
        assert conclusion.dead_letter.code == "too_old"

    def test_a_signature_of_ours_is_enough_for_its_classes(self, signed_site: Site) -> None:
        """An older application, which cannot sign itself, may be signed for by ours; it covers the class."""
        ours = attributes(signature(BODY, type=f"class {CLASS}"))
        message = Message(BODY, {**from_symfony(BODY).attributes, **ours})

        assert isinstance(conclude(signed_site, message), Answer)

    @pytest.mark.parametrize(("key", "bus"), [(None, None), (SYMFONY_KEY, "messenger.bus.default")])
    def test_stamps_that_nobody_signed_are_not_given_to_handlers(
        self, signed_site: Site, key: bytes | None, bus: str | None
    ) -> None:
        """Ours does not cover them; Symfony's does."""
        seen = []

        def handler(_: Any, context: Any) -> None:
            seen.append(context.stamps.bus)

        signed_site.handler = handler
        ours = attributes(signature(BODY, type=f"class {CLASS}"))
        message = from_symfony(BODY, key=key)
        conclude(signed_site, Message(BODY, {**message.attributes, **ours}))

        assert seen == [bus]


class TestWhatHasToBeSigned:
    @pytest.fixture
    def some(self, tmp_path: Path) -> Iterator[Site]:
        """A site at which one type has to be signed."""
        signing = {"key_files": key_files(tmp_path, OTHER_KEY, KEY), "required_types": ["orders.insert"]}
        symfony = {"types": {CLASS: "orders.insert", "App\\Other": "others.insert"}}
        with closing(Site(tmp_path, signing=signing, symfony=symfony)) as site:
            yield site

    def test_other_types_go_on_unsigned(self, some: Site) -> None:
        """Their senders may sign later; a wrong signature is refused of them as well."""
        other = job_fields(type="others.insert")
        assert not isinstance(conclude(some, Message(json.dumps(other))), Bury)
        assert is_believed_in_nothing(some, signed(other, b"a third key that nobody here has at all"))

    def test_the_type_in_force_counts(self, some: Site) -> None:
        """Whatever the body says, a class that leads to the type asks for a signature."""
        body = json.dumps(job_fields(type="others.insert"))
        assert is_believed_in_nothing(some, Message(body, {"type": Attribute("String", CLASS)}))
        assert "required_types" in str(some.settled[-1].conclusion)

    def test_each_of_the_keys_is_accepted(self, some: Site) -> None:
        """So that a key can be changed without a moment in which messages are refused."""
        for number, key in enumerate((KEY, OTHER_KEY)):
            fields = job_fields(job_id=f"job-{number}", payload={"order_no": number})
            assert isinstance(conclude(some, signed(fields, key)), Answer)

    def test_without_keys_nobody_is_asked(self, site: Site) -> None:
        """A producer may sign before the workers verify."""
        assert isinstance(conclude(site, signed(JOB, OTHER_KEY)), Answer)


def test_nobody_holds_a_group_by_a_moment_to_wait_for(site: Site) -> None:
    """On a FIFO queue nothing is sent anew, so that no worker ever wrote one there."""
    header = attributes(None, not_before=LATER)
    waiting = conclude(site, Message(BODY, header))
    ordered = MemoryPlace().transport("requests.fifo")
    ordered.is_ordered = True

    assert not isinstance(waiting, Answer)
    assert isinstance(conclude(site, Message(BODY, header), source=ordered), Answer)
