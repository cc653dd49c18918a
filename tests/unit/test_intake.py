"""The intake: what becomes of a delivery before a part of it runs, and that it always becomes something."""

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from shards.directory import DirectoryUnavailable, PlacementState
from shards.engines import UnknownShard
from tests.support.core import Site
from tests.support.fakes import NOON
from tests.support.jobs import inbox_rows, job_fields, orders, placement_of
from worker.attachments import AttachmentsUnavailable
from worker.conclusion import Answer, Bury, Conclusion, Deferral, Return
from worker.intake import DEFECT_RECEIVES_MAXIMUM
from worker.objects import ObjectStoreUnavailable

BUCKETS = {"claim_check_buckets": ["checks"]}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


def pointer(bucket: str = "checks", key: str = "jobs/1.json") -> str:
    return json.dumps(
        ["software.amazon.payloadoffloading.PayloadS3Pointer", {"s3BucketName": bucket, "s3Key": key}]
    )


def attachment(
    site: Site, name: str = "lines.csv", content: bytes = b"a,b\n", **fields: Any
) -> dict[str, Any]:
    """An attachment that lies in the site's bucket."""
    path = site.bucket / "acme" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return {
        "name": name,
        "bucket": f"file://{site.bucket}",
        "key": f"acme/{name}",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        **fields,
    }


def three_customers(**fields: Any) -> dict[str, Any]:
    entries = [{"customer_id": f"c-{number}", "payload": {"order_no": number}} for number in (1, 2, 3)]
    return job_fields(customers=entries, **fields)


def test_a_job_goes_to_the_shard_of_each_customer_and_is_answered(site: Site) -> None:
    """Its rows stand there, its result names each customer in the job's order."""
    result = site.answer(three_customers())

    assert (orders(site.path, "eu1"), orders(site.path, "eu2")) == ([1, 2], [3])
    assert [entry["status"] for entry in result["customers"]] == ["succeeded"] * 3
    assert site.settled[0].held[0].prepared_at is not None


def test_copies_of_a_job_in_hand_are_joined_to_it(site: Site) -> None:
    """One run, one result, and every copy leaves with it."""
    copies = [site.take(message_id=f"message-{number}") for number in range(3)]
    site.run()

    (settled,) = site.settled
    assert settled.held == copies
    assert site.offered == ["c-1"]
    assert [held.copied for held in copies] == [False, True, True]


@pytest.mark.parametrize("other", [{"run": 2}, {"payload": {"order_no": 2}}, {"job_id": "job-2"}])
def test_only_equal_copies_are_joined(site: Site, other: dict[str, Any]) -> None:
    """Another run or other content is another matter: the inbox decides."""
    site.take()
    site.take(job_fields(**other))

    assert site.offered == ["c-1", "c-1"]


def test_no_part_of_another_content_starts_once_a_conflict_is_known(site: Site) -> None:
    """Not even one that was in its lane already: the message is not this job's at all."""
    site.conclude()
    other = job_fields(customers=["c-1", "c-2"], payload={"order_no": 2})

    assert isinstance(site.conclude(other, message_id="message-2"), Bury)
    assert (orders(site.path), len(inbox_rows(site.path))) == ([1], 1)


def test_the_same_job_after_its_end_gives_the_same_result_from_the_inbox(site: Site) -> None:
    """Nothing runs again; the bytes are equal but for the two times."""
    first = site.answer()
    site.pass_time(minutes=1)
    second = site.answer(message_id="message-2")
    times = {"received_at", "finished_at"}

    assert orders(site.path) == [1]
    assert first["finished_at"] != second["finished_at"]
    assert {k: v for k, v in first.items() if k not in times} == {
        k: v for k, v in second.items() if k not in times
    }


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"type": "new.type"}, "unknown_type"), ({"customers": ["c-1", "c-new"]}, "unknown_customer")],
)
def test_what_is_not_known_here_yet_is_postponed_within_the_grace(
    site: Site, fields: dict[str, Any], code: str
) -> None:
    """A worker of the version before does not refuse what the version after it knows."""
    site.pass_time(seconds=60)
    assert site.conclude(job_fields(**fields)) == Return(timedelta(seconds=30), code)
    site.pass_time(seconds=530)
    assert site.conclude(job_fields(**fields)) == Return(timedelta(seconds=10), code)
    site.pass_time(seconds=10)
    conclusion = site.conclude(job_fields(**fields))

    assert isinstance(conclusion, Answer)
    assert (conclusion.status, conclusion.dead_letter and conclusion.dead_letter.code) == ("rejected", code)
    assert inbox_rows(site.path) == []


def rejection(site: Site, **fields: Any) -> tuple[str, str, str]:
    """Status, error code of the result, and code of the dead letter."""
    return rejection_of(site.conclude(job_fields(**fields)))


def rejection_of(conclusion: Conclusion) -> tuple[str, str, str]:
    """The same of a conclusion that is there."""
    assert isinstance(conclusion, Answer)
    assert conclusion.dead_letter is not None
    return conclusion.status, json.loads(conclusion.body)["error"]["code"], conclusion.dead_letter.code


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"partner_id": "stranger"}, "not_granted"),
        ({"partner_id": "poor"}, "not_granted"),
        ({"expires_at": NOON.isoformat()}, "expired"),
        ({"dry_run": True}, "dry_run_unsupported"),
    ],
)
def test_a_job_that_may_not_run_is_rejected_and_dead_lettered(
    site: Site, fields: dict[str, Any], code: str
) -> None:
    """Nothing ran, nothing is recorded; the answer and the dead letter have the same code."""
    assert rejection(site, **fields) == ("rejected", code, code)
    assert (inbox_rows(site.path), orders(site.path), site.offered) == ([], [], [])


def test_a_job_that_has_not_expired_yet_runs(site: Site) -> None:
    """Up to its last second."""
    assert (
        site.answer(job_fields(expires_at=(NOON + timedelta(seconds=1)).isoformat()))["status"] == "succeeded"
    )


def test_an_attachment_outside_the_partner_s_prefix_is_refused(site: Site) -> None:
    """Before anything is fetched."""
    foreign = {**attachment(site), "key": "other/lines.csv"}

    assert rejection(site, attachments=[foreign])[1] == "attachment_not_allowed"


def test_a_job_older_than_the_inbox_is_kept_is_buried_unanswered(site: Site) -> None:
    """Whether it ran cannot be told: no answer is better than a wrong one."""
    old = NOON - timedelta(days=31)
    conclusion = site.conclude(sent_at=old)
    assert isinstance(conclusion, Bury)
    assert conclusion.dead_letter.code == "too_old"
    assert site.settled[0].facts.identity is not None

    assert isinstance(site.conclude(header={"first_sent_at": old.isoformat()}), Bury)
    assert isinstance(site.conclude(sent_at=NOON - timedelta(days=29)), Answer)


def test_a_bad_message_with_ids_is_rejected_when_the_inbox_knows_nothing_of_it(site: Site) -> None:
    """Its sender is told; the message goes to the failure queue."""
    conclusion = site.conclude(job_fields(attachments="no list"))

    assert isinstance(conclusion, Answer)
    assert conclusion.dead_letter is not None
    assert (conclusion.status, conclusion.dead_letter.code) == ("rejected", "bad_message")


def test_a_bad_message_with_the_ids_of_a_known_job_is_buried_unanswered(site: Site) -> None:
    """The answer belongs to the job that came before."""
    site.answer()
    conclusion = site.conclude(job_fields(attachments="no list"))

    assert isinstance(conclusion, Bury)
    assert conclusion.dead_letter.code == "bad_message"


@pytest.mark.parametrize("body", ["no json", "[1]", '{"job_id": "job-1"}', 'O:1:"A":0:{}'])
def test_a_message_that_nobody_can_be_answered_for_is_buried(site: Site, body: str) -> None:
    """On the failure queue, with the reason."""
    conclusion = site.conclude(body)

    assert isinstance(conclusion, Bury)
    assert conclusion.dead_letter.code in {"bad_message", "php_serialized"}


def test_a_body_by_claim_check_is_read_from_its_bucket(tmp_path: Path) -> None:
    """And the object stays where it is."""
    site = claim_check_site(tmp_path)
    site.objects.put("checks", "jobs/1.json", json.dumps(job_fields()).encode())

    assert site.answer(pointer())["status"] == "succeeded"
    assert ("checks", "jobs/1.json") in site.objects.objects


def claim_check_site(path: Path) -> Site:
    queues = {
        "request": [f"sql://{path}/queues.db?queue=requests"],
        "response": f"sql://{path}/queues.db?queue=response",
        "failure": f"sql://{path}/queues.db?queue=failure",
    }
    return Site(path, queues={**queues, **BUCKETS})


@pytest.mark.parametrize("body", [pointer(), pointer(bucket="foreign")])
def test_a_claim_check_that_leads_nowhere_is_buried(tmp_path: Path, body: str) -> None:
    """Missing, or in a bucket that is not allowed: nobody is known who could be answered."""
    conclusion = claim_check_site(tmp_path).conclude(body)

    assert isinstance(conclusion, Bury)
    assert conclusion.dead_letter.code == "claim_check_failed"


def test_a_message_waits_while_the_bucket_of_its_claim_check_is_away(tmp_path: Path) -> None:
    """Longer with each receive."""
    site = claim_check_site(tmp_path)
    site.objects.error = ObjectStoreUnavailable("SlowDown", "later")
    first, later = site.conclude(pointer()), site.conclude(pointer(), receive_count=4)

    assert isinstance(first, Return)
    assert isinstance(later, Return)
    assert (first.code, later.after) == ("SlowDown", first.after * 8)


def test_a_job_waits_while_the_directory_is_away(site: Site) -> None:
    """Also one that is refused: what came before cannot be looked up."""
    site.directory.error = DirectoryUnavailable()
    codes = [
        site.conclude(body) for body in (job_fields(), job_fields(dry_run=True), job_fields(attachments=1))
    ]

    assert [getattr(one, "code", None) for one in codes][:1] == ["directory_away"]
    assert getattr(codes[2], "code", None) == "directory_away"


def test_a_refused_job_that_ran_in_part_keeps_its_outcomes_and_fails_the_rest(site: Site) -> None:
    """What came before wins; the rest is recorded, so that every later copy says the same."""
    job = three_customers(expires_at=(NOON + timedelta(seconds=5)).isoformat())
    site.directory.set_state("c-3", PlacementState.PAUSED)
    assert isinstance(site.conclude(job), Return)
    site.directory.set_state("c-3", PlacementState.ACTIVE)
    site.pass_time(seconds=10)
    results = [site.answer(job), site.answer(job)]

    for result in results:
        assert result["status"] == "partial"
        assert [entry.get("error", {}).get("code") for entry in result["customers"]] == [
            None,
            None,
            "expired",
        ]
    assert [row["state"] for row in inbox_rows(site.path, "eu2")] == ["failed"]
    assert orders(site.path, "eu2") == []


@pytest.mark.parametrize("state", [PlacementState.PAUSED, PlacementState.MOVING])
def test_a_refusal_is_not_recorded_for_a_customer_that_is_paused_or_moves(
    site: Site, state: PlacementState
) -> None:
    """What is written to a database that is being copied away is lost: the part waits, as any other."""
    job = three_customers(expires_at=(NOON + timedelta(seconds=5)).isoformat())
    site.directory.set_state("c-3", state)
    site.conclude(job)
    site.pass_time(seconds=10)

    assert site.conclude(job) == Return(timedelta(seconds=30), "customer_paused")
    assert inbox_rows(site.path, "eu2") == []


def test_a_refused_job_does_not_wait_for_the_shard_of_a_customer_that_is_gone(site: Site) -> None:
    """The shard may be gone as well: nobody asks it ever again."""
    site.lose_shard("eu2")
    site.directory.set_state("c-3", PlacementState.GONE)
    conclusion = site.conclude(three_customers(expires_at=NOON.isoformat()))

    assert isinstance(conclusion, Answer)
    assert conclusion.status == "rejected"


def test_a_refused_job_that_ran_in_part_fails_the_part_of_a_customer_that_is_gone(site: Site) -> None:
    """Without asking its shard; the other outcomes stand."""
    job = three_customers(expires_at=(NOON + timedelta(seconds=5)).isoformat())
    site.directory.set_state("c-3", PlacementState.PAUSED)
    site.conclude(job)
    site.lose_shard("eu2")
    site.directory.set_state("c-3", PlacementState.GONE)
    site.pass_time(seconds=10)
    result = site.answer(job)

    assert [entry["status"] for entry in result["customers"]] == ["succeeded", "succeeded", "failed"]


def test_a_dry_run_neither_reads_nor_writes_the_inbox(site: Site) -> None:
    """A dry run under the id of a real job takes nothing of it and fails nothing of it."""
    site.directory.set_state("c-3", PlacementState.PAUSED)
    site.conclude(three_customers())
    site.directory.set_state("c-3", PlacementState.ACTIVE)
    dry = site.answer(three_customers(dry_run=True))
    assert (dry["status"], dry["error"]["code"]) == ("rejected", "dry_run_unsupported")
    assert inbox_rows(site.path, "eu2") == []

    assert site.answer(three_customers())["status"] == "succeeded"


def test_a_customer_that_is_paused_waits_while_the_others_go_on(site: Site) -> None:
    """The job comes again for it; the others' outcomes are found then."""
    site.directory.set_state("c-2", PlacementState.PAUSED)
    assert site.conclude(three_customers()) == Return(timedelta(seconds=30), "customer_paused")
    assert (orders(site.path, "eu1"), orders(site.path, "eu2")) == ([1], [3])
    site.directory.set_state("c-2", PlacementState.ACTIVE)

    assert site.answer(three_customers())["status"] == "succeeded"
    assert orders(site.path, "eu1") == [1, 2]


def test_a_customer_that_is_gone_fails_and_its_shard_is_not_asked(site: Site) -> None:
    """However often the job comes."""
    site.directory.set_state("c-2", PlacementState.GONE)
    results = [site.answer(three_customers()) for _ in range(2)]

    for result in results:
        assert [entry.get("error", {}).get("code") for entry in result["customers"]] == [
            None,
            "customer_gone",
            None,
        ]
    assert site.offered == ["c-1", "c-3"] * 2


def test_an_attachment_is_there_verified_when_the_handler_runs_and_removed_afterwards(site: Site) -> None:
    """Fetched once for all parts of the job."""
    seen: list[bytes] = []
    paths: list[Path] = []

    def handler(_payload: Any, context: Any) -> None:
        local = context.attachments["lines.csv"]
        paths.append(local.path)
        with local.open() as stream:
            seen.append(stream.read())

    site.handler = handler
    site.answer(three_customers(attachments=[attachment(site)]))

    assert seen == [b"a,b\n"] * 3
    assert len(set(paths)) == 1
    assert not paths[0].exists()


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"sha256": "0" * 64}, "attachment_mismatch"),
        ({"size": 3}, "attachment_mismatch"),
        ({"key": "acme/elsewhere"}, "attachment_missing"),
        ({"size": 10**12}, "attachment_too_large"),
    ],
)
def test_an_attachment_s_fault_fails_the_parts_that_use_it(
    site: Site, fault: dict[str, Any], code: str
) -> None:
    """For good, recorded; the other customers' parts run."""
    bad, good = attachment(site, "bad.csv", **fault), attachment(site, "good.csv")
    customers = [
        {"customer_id": "c-1", "attachments": ["bad.csv"]},
        {"customer_id": "c-2", "attachments": []},
        {"customer_id": "c-3", "attachments": ["good.csv"]},
    ]
    site.handler = lambda _payload, _context: None
    result = site.answer(job_fields(customers=customers, attachments=[bad, good]))

    assert [entry.get("error", {}).get("code") for entry in result["customers"]] == [code, None, None]
    assert inbox_rows(site.path)[0]["state"] == "failed"


def test_a_job_waits_while_its_attachments_cannot_be_had(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """No attempt is counted, no part is run."""

    def unavailable(*_: object) -> None:
        raise AttachmentsUnavailable("no_disk_space", "later")

    monkeypatch.setattr(site.fetcher, "fetch", unavailable)
    conclusion = site.conclude(job_fields(attachments=[attachment(site)]))

    assert isinstance(conclusion, Return)
    assert (conclusion.code, site.offered, inbox_rows(site.path)) == ("no_disk_space", [], [])


def test_an_attachment_of_a_customer_that_is_gone_is_not_fetched(site: Site) -> None:
    """Nobody needs it."""
    site.directory.set_state("c-1", PlacementState.GONE)
    missing = attachment(site, key="acme/nowhere")

    assert site.answer(job_fields(attachments=[missing]))["customers"][0]["error"]["code"] == "customer_gone"


@pytest.mark.parametrize("code", ["shard_away", "shutdown"])
@pytest.mark.parametrize("fields", [{}, {"expires_at": NOON.isoformat()}, {"attachments": "no list"}])
def test_a_job_that_its_lane_does_not_take_is_returned(site: Site, fields: dict[str, Any], code: str) -> None:
    """At once for a stop; after a growing delay for a shard that is away, also where it is only looked up."""
    site.refusing["eu1"] = code
    delays = []
    for receive_count in (1, 4):
        conclusion = site.conclude(job_fields(**fields), receive_count=receive_count)
        assert isinstance(conclusion, Return)
        assert conclusion.code == code
        delays.append(conclusion.after)

    if code == "shutdown":
        assert delays == [timedelta(), timedelta()]
    else:
        assert timedelta() < delays[0] < delays[1]


def test_a_shard_that_cannot_be_asked_returns_the_job_that_is_only_looked_up(site: Site) -> None:
    """A refusal waits: an outcome that is there would win."""
    site.lose_shard("eu1")
    conclusion = site.conclude(job_fields(expires_at=NOON.isoformat()))

    assert isinstance(conclusion, Return)
    assert conclusion.code == "shard_away"


def test_an_inbox_that_cannot_be_read_is_an_alarm(site: Site) -> None:
    """The shard counts as away; somebody has to repair it."""
    with site.shards.get("eu1").connect() as connection, connection.begin():
        connection.exec_driver_sql("DROP TABLE shardworker_inbox")
    with capture_logs() as lines:
        conclusion = site.conclude(job_fields(expires_at=NOON.isoformat()))

    assert isinstance(conclusion, Return)
    assert [(line["event"], line["log_level"], line["shard"]) for line in lines] == [
        ("inbox.fault", "error", "eu1")
    ]


class Defect(Exception):
    """What nobody expected."""


def break_directory(site: Site, _monkeypatch: pytest.MonkeyPatch) -> None:
    site.directory.error = Defect()


def break_lanes(site: Site, _monkeypatch: pytest.MonkeyPatch) -> None:
    site.offer_error = UnknownShard("eu9", [])


def break_fetcher(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise Defect

    monkeypatch.setattr(site.fetcher, "check_allowed", broken)


def break_rejection(_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise Defect

    monkeypatch.setattr("worker.intake.InboxInquiry", broken)


@pytest.mark.parametrize("break_it", [break_directory, break_lanes, break_fetcher, break_rejection])
@pytest.mark.parametrize("fields", [{}, {"expires_at": NOON.isoformat()}, {"attachments": "no list"}])
def test_an_unexpected_error_never_leaves_a_delivery_in_hand(
    site: Site, monkeypatch: pytest.MonkeyPatch, break_it: Any, fields: dict[str, Any]
) -> None:
    """Each delivery is settled exactly once; a copy that comes later is not joined to a job that is dead."""
    break_it(site, monkeypatch)
    deliveries = []
    for number in range(2):
        with capture_logs():
            deliveries.append(site.take(job_fields(**fields), message_id=f"message-{number}"))
        site.run()

    assert [held for settled in site.settled for held in settled.held] == deliveries
    assert site.intake.jobs() == []


def test_a_message_that_this_worker_fails_at_again_and_again_is_kept_aside(site: Site) -> None:
    """Released some times, for another worker may do better; then on the failure queue."""
    site.directory.error = Defect()
    conclusions: list[Conclusion] = []
    with capture_logs() as lines:
        conclusions.extend(
            site.conclude(receive_count=count)
            for count in (1, DEFECT_RECEIVES_MAXIMUM - 1, DEFECT_RECEIVES_MAXIMUM)
        )

    assert [type(one) for one in conclusions] == [Return, Return, Answer]
    assert rejection_of(conclusions[-1]) == ("rejected", "internal_error", "internal_error")
    assert {line["event"] for line in lines} == {"intake.failed"}


def test_a_job_that_is_still_prepared_at_a_stop_is_given_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon abandons every job in hand while this one's attachments are on their way."""
    fetch = site.fetcher.fetch

    def stop_meanwhile(*arguments: Any) -> Any:
        site.refusing = {"eu1": "shutdown"}
        for job in site.intake.jobs():
            job.abandon(Deferral(timedelta(), "shutdown"))
        return fetch(*arguments)

    monkeypatch.setattr(site.fetcher, "fetch", stop_meanwhile)

    assert site.conclude(job_fields(attachments=[attachment(site)])) == Return(timedelta(), "shutdown")


def test_a_placement_on_a_shard_that_is_not_configured_returns_the_job(site: Site) -> None:
    """The directory is ahead of this worker's configuration."""
    site.directory.placements["c-1"] = placement_of("c-1", "eu9")
    site.offer_error = UnknownShard("eu9", ["eu1", "eu2"])
    with capture_logs() as lines:
        conclusion = site.conclude()

    assert isinstance(conclusion, Return)
    assert [line["event"] for line in lines] == ["intake.failed"]
