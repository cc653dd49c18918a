"""The documents' classes are what they are said to be: Symfony makes objects of all that the worker sends."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from config.result import Progress, Result, encode_result
from tests.support.fakes import NOON
from tests.support.jobs import envelope_of, held_of, job_fields
from tests.support.symfony_application import SymfonyApplication, need_symfony
from tests.support.symfony_letters import SymfonyDesk, headers_of
from worker.answers import rejected, running
from worker.claim_check import POINTER_CLASS
from worker.envelope import identity_of
from worker.symfony.writing import rename_fields

DOCUMENT = Path(__file__).parents[2] / "docs" / "symfony.md"
IDENTITY = identity_of(envelope_of(held_of(job_fields())))
CLASS = "App\\Message\\JobResult"
NAMES = {
    "job_id": "jobId",
    "partner_id": "partnerId",
    "correlation_id": "correlationId",
    "dry_run": "dryRun",
    "received_at": "receivedAt",
    "finished_at": "finishedAt",
}
"""As the document has them."""


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """The classes of the document, each in a file."""
    need_symfony()
    text = DOCUMENT.read_text(encoding="utf-8")
    section = text[text.index("### Results as objects") : text.index("### Failed messages")]
    paths = []
    for number, block in enumerate(re.findall(r"^```php\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)):
        paths.append(tmp_path / f"{number}.php")
        paths[-1].write_text(f"<?php\n{block}", encoding="utf-8")
    return [str(path) for path in paths]


def bodies() -> list[str]:
    """A result of each status, with everything that can be null or absent."""
    done = Result(
        job_id="job-2",
        run=2,
        type=None,
        partner_id="acme",
        correlation_id="c0ffee",
        dry_run=True,
        status="succeeded",
        customers=(),
        received_at=NOON,
        finished_at=NOON,
    )
    outcome = b'{"customer_id":"c-1","status":"succeeded","result":{"inserted":1}}'
    return [
        encode_result(done, (outcome,)),
        rejected(IDENTITY, "expired", "It came too late.", NOON, NOON).body,
        running(IDENTITY, Progress(done=1, total=3), ["c-1"], NOON),
        running(IDENTITY, Progress(done=1, total=3), [], NOON),
    ]


def decoded(symfony: SymfonyApplication, files: list[str], *bodies: str) -> list[Any]:
    """The objects that Symfony makes of results with these bodies."""
    desk = SymfonyDesk(result_class=CLASS, bus="messenger.bus.default", result_fields=NAMES)
    messages = [desk.letters.news(body, IDENTITY) for body in bodies]
    lines = [{"body": one.body, "headers": headers_of(one.attributes)} for one in messages]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    return [json.loads(line) for line in symfony.run(["decode.php", *files], text).splitlines()]


def test_every_result_is_an_object_of_the_class(tmp_path: Path, files: list[str]) -> None:
    """Of each status, with each of its fields, in the names that are configured."""
    found = decoded(SymfonyApplication("", tmp_path), files, *bodies())

    assert [one["class"] for one in found] == [CLASS] * 4
    assert [one["status"] for one in found] == ["succeeded", "rejected", "running", "running"]
    assert (found[0]["run"], found[0]["dryRun"], found[0]["type"]) == (2, True, None)
    assert found[0]["customers"][0]["result"] == {"inserted": 1}
    assert found[1]["error"]["code"] == "expired"
    assert found[2]["progress"] == {"done": 1, "total": 3}
    assert (found[2]["waiting"], found[2]["finishedAt"]) == (["c-1"], None)
    assert found[0].keys() - {"class"} >= set(NAMES.values())


def test_a_result_by_claim_check_is_fetched_first(tmp_path: Path, files: list[str]) -> None:
    """By the serializer of the document, in the form in which the worker refers to it."""
    stored = rename_fields(bodies()[0], NAMES)
    desk = SymfonyDesk(result_class=CLASS)
    pointer = json.dumps([POINTER_CLASS, {"s3BucketName": "b", "s3Key": "results/job-2/2.json"}])
    line = json.dumps({"body": pointer, "headers": headers_of(desk.letters.news("{}", IDENTITY).attributes)})
    application = SymfonyApplication("", tmp_path)
    (found,) = application.run(["decode.php", *files], f"{line}\n", OBJECT=stored).splitlines()

    assert json.loads(found)["jobId"] == "job-2"
