"""The digest of a part: fixed vectors, what it covers, and what it does not."""

import hashlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from config.digest import part_digest
from config.job import Job, decode_job
from tests.support.wire import CORRELATION_IDS, CUSTOMER_IDS, JOB_TYPES, JSON_VALUES, PARTNER_IDS, job_objects

SHA = "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08"
SMALL = {"job_id": "01JD3Z", "type": "orders.insert", "partner_id": "acme", "customers": ["c-1001"]}
LARGE = {
    **SMALL,
    "customers": [
        "c-1001",
        {"customer_id": "c-1002", "payload": {"b": "ä😀", "a": [1, 1.0, 1e30, None, True]}},
    ],
    "payload": {"rows": [{"order_no": 1}]},
    "attachments": [
        {"name": "lines.csv", "bucket": "b", "key": "acme/1", "size": 4, "sha256": SHA},
        {"name": "a.csv", "bucket": "b", "key": "acme/2", "size": 4, "sha256": "0" * 64},
    ],
}


def job(document: dict[str, Any]) -> Job:
    return decode_job(json.dumps(document))


def digests(document: dict[str, Any]) -> list[str]:
    decoded = job(document)
    return [part_digest(decoded, decoded.type, part) for part in decoded.part_requests()]


FILES = f'[{{"name":"a.csv","sha256":"{"0" * 64}"}},{{"name":"lines.csv","sha256":"{SHA.lower()}"}}]'
SMALL_TEXT = (
    '{"attachments":[],"customer_id":"c-1001","customers":["c-1001"],"partner_id":"acme",'
    '"payload":null,"type":"orders.insert"}'
)
FIRST_TEXT = (
    f'{{"attachments":{FILES},"customer_id":"c-1001","customers":["c-1001","c-1002"],"partner_id":"acme",'
    '"payload":{"rows":[{"order_no":1}]},"type":"orders.insert"}'
)
SECOND_TEXT = (
    f'{{"attachments":{FILES},"customer_id":"c-1002","customers":["c-1001","c-1002"],"partner_id":"acme",'
    '"payload":{"a":[1,1.0,1e+30,null,true],"b":"\\u00e4\\ud83d\\ude00"},"type":"orders.insert"}'
)


@pytest.mark.parametrize(("document", "texts"), [(SMALL, [SMALL_TEXT]), (LARGE, [FIRST_TEXT, SECOND_TEXT])])
def test_a_digest_is_that_of_a_text_that_can_be_written_by_hand(
    document: dict[str, Any], texts: list[str]
) -> None:
    """Sorted keys, no white space, ASCII: any language can compute it."""
    assert digests(document) == [hashlib.sha256(text.encode("ascii")).hexdigest() for text in texts]


def test_digests_stay_what_they_are_from_release_to_release() -> None:
    """They are stored in every customer's inbox: another digest for the same content would be a conflict."""
    assert digests(SMALL) == ["ed5a4fae0ee518fe2bf6cd0a7d3359e17c3e81130ebf13c9a5d5555b5f51db94"]
    assert digests(LARGE) == [
        "f1f1001844a840b9d8b26a87987fc2303409e35b4336c8b48bcd54c0eee9381d",
        "de5e5ac797e4a2cef092f3b3ec122b7bb2cdbaa9a3ada555dc5bb8f6d13f5a6f",
    ]


@given(job_objects(), st.data())
def test_a_digest_does_not_depend_on_what_is_not_content(
    document: dict[str, Any], data: st.DataObject
) -> None:
    """Neither on run, ids, times and unknown fields, nor on the order of attachments and of keys."""
    other = {
        **document,
        "job_id": "another",
        "run": data.draw(st.integers(1, 100)),
        "correlation_id": data.draw(CORRELATION_IDS),
        "submitted_at": "2026-11-21T10:00:00Z",
        "expires_at": None,
        "dry_run": data.draw(st.booleans()),
        "schedule": None,
        "attachments": [
            {
                **attachment,
                "bucket": "other",
                "key": "other",
                "version_id": "v",
                "size": 1,
                "content_type": "x/y",
            }
            for attachment in data.draw(st.permutations(document.get("attachments", [])))
        ],
        "not-in-the-contract": 1,
    }
    assert digests(_reversed(other)) == digests(document)


def _reversed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reversed(member) for key, member in reversed(value.items())}
    return [_reversed(member) for member in value] if isinstance(value, list) else value


@given(job_objects(), st.data())
def test_a_digest_changes_with_anything_else(document: dict[str, Any], data: st.DataObject) -> None:
    """Type, partner, the customers and their order, the payload, an attachment's name or bytes."""
    document = {**document, "customers": ["!first", *document["customers"], "~last"]}
    assume(len({job_id(entry) for entry in document["customers"]}) == len(document["customers"]))
    change = data.draw(
        st.sampled_from(["type", "partner_id", "order", "customer", "payload", "name", "sha256"])
    )
    other = json.loads(json.dumps(document))
    match change:
        case "type" | "partner_id":
            other[change] = data.draw(JOB_TYPES if change == "type" else PARTNER_IDS)
        case "order":
            other["customers"][1:] = data.draw(st.permutations(other["customers"][1:]))
        case "customer":
            other["customers"][-1] = data.draw(CUSTOMER_IDS)
        case "payload":
            other["payload"] = data.draw(JSON_VALUES)
        case _:
            assume(other.get("attachments"))
            other["attachments"][0][change] = "f" * 64
    same = canonical(other) == canonical(document)
    assume(len({job_id(entry) for entry in other["customers"]}) == len(other["customers"]))
    assume(change != "name" or not any(isinstance(entry, dict) for entry in other["customers"]))
    assert (digests(other)[0] == digests(document)[0]) == same


def job_id(entry: Any) -> str:
    return str(entry if isinstance(entry, str) else entry["customer_id"])


def canonical(document: dict[str, Any]) -> str:
    """What the first customer is asked for, compared without the code under test."""
    files = {file["name"]: file["sha256"].lower() for file in document.get("attachments", [])}
    ids = [job_id(entry) for entry in document["customers"]]
    content = [document["type"], document["partner_id"], ids, document.get("payload"), files]
    return json.dumps(content, sort_keys=True)


def test_two_parts_of_one_job_are_two_contents() -> None:
    """Though they share the payload: the customer's own id is in the digest."""
    first, second = digests({**SMALL, "customers": ["c-1", "c-2"]})
    assert first != second


def test_the_type_that_a_header_gave_is_the_one_that_counts() -> None:
    """The digest covers what is run, and the header's type is."""
    decoded = job(SMALL)
    part = decoded.part_requests()[0]
    renamed = msgspec.structs.replace(decoded, type="orders.update")
    assert part_digest(decoded, "orders.update", part) == part_digest(renamed, "orders.update", part)
    assert part_digest(decoded, "orders.update", part) != part_digest(decoded, "orders.insert", part)
