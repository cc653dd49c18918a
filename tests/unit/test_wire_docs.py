"""The page on the two messages shows what is: its examples, its codes and its digest are checked."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from config.codes import CODES
from config.digest import part_digest
from config.job import decode_job
from config.result import decode_result
from tests.support.wire import validator
from worker.claim_check import is_pointer

PAGE = (Path(__file__).parents[2] / "docs" / "wire.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    """The page's code blocks that are opened with this kind, such as `json job`."""
    return re.findall(rf"^```{kind}\n(.*?)\n```$", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("body", blocks("json job"))
def test_each_job_on_the_page_is_one(body: str) -> None:
    """For the schema and for the worker."""
    validator("job").validate(json.loads(body))
    assert decode_job(body).partner_id == "acme"


@pytest.mark.parametrize("body", blocks("json result"))
def test_each_result_on_the_page_is_one(body: str) -> None:
    """For the schema and for whoever reads them with our model."""
    validator("result").validate(json.loads(body))
    assert decode_result(body).partner_id == "acme"


def test_the_page_shows_a_job_and_results_of_several_kinds() -> None:
    """Else the two tests above would test nothing."""
    statuses = {json.loads(body)["status"] for body in blocks("json result")}
    assert statuses == {"partial", "rejected", "running"}
    assert len(blocks("json job")) == 2
    full = json.loads(blocks("json job")[1])
    assert set(full) == set(json.loads(_schema_text())["properties"])


def _schema_text() -> str:
    return (Path(__file__).parents[2] / "config" / "schemas" / "job.schema.json").read_text(encoding="utf-8")


def test_the_reference_on_the_page_is_one() -> None:
    """A producer can copy its form."""
    (reference,) = blocks("json")
    assert is_pointer(reference)


def test_the_page_lists_every_code_with_its_meaning() -> None:
    """All of them, in the order of the list, and none that is not in it."""
    table = PAGE.split("| code | meaning |\n|---|---|\n")[1].split("\n\n")[0]
    rows = [line.strip("| ").split(" | ", 1) for line in table.splitlines()]
    assert {code.strip("`"): meaning for code, meaning in rows} == CODES
    assert [code.strip("`") for code, _ in rows] == list(CODES)


def test_the_digest_on_the_page_is_the_jobs() -> None:
    """Its text and its value can be followed by hand."""
    (text,) = blocks("text digest")
    (digest,) = blocks("text")
    job = decode_job(blocks("json job")[1])
    assert hashlib.sha256(text.encode("ascii")).hexdigest() == digest
    assert part_digest(job, job.type, job.part_requests()[0]) == digest
