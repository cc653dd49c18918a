"""Claim checks: what a reference is, which ones are followed, and how one is written."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.job import BadMessage
from config.settings import Queues
from worker.claim_check import is_pointer, offload, resolve
from worker.objects import ObjectStore, ObjectStoreUnavailable, open_object_store
from worker.transports.base import Attribute

CURRENT = "software.amazon.payloadoffloading.PayloadS3Pointer"
LEGACY = "com.amazon.sqs.javamessaging.MessageS3Pointer"


def pointer(bucket: object, key: object, pointer_class: str = CURRENT) -> str:
    return json.dumps([pointer_class, {"s3BucketName": bucket, "s3Key": key}])


@pytest.fixture
def store() -> ObjectStore:
    return open_object_store(Queues(request=["sqs://a"], response="sqs://b", failure="sqs://c"))


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    return tmp_path.as_uri()


def test_an_offloaded_body_comes_back(store: ObjectStore, bucket: str) -> None:
    """What is sent in place of a body is a reference, and following it gives the body, byte for byte."""
    body = '{"message":"' + "ü" * 100_000 + '"}'
    sent = offload(body, store, bucket, "results/01JD/1.json")
    assert is_pointer(sent.body)
    assert resolve(sent.body, store, [bucket], len(body.encode())) == body


def test_a_reference_is_written_as_the_extended_clients_write_it(store: ObjectStore, bucket: str) -> None:
    """The body is a class and its two fields; the attribute holds the stored bytes' number."""
    sent = offload("ü", store, bucket, "k")
    assert sent.body == f'["{CURRENT}",{{"s3BucketName":"{bucket}","s3Key":"k"}}]'
    assert sent.attributes == {"ExtendedPayloadSize": Attribute("Number", "2")}


@pytest.mark.parametrize("pointer_class", [CURRENT, LEGACY])
def test_both_generations_of_references_are_followed(
    store: ObjectStore, bucket: str, pointer_class: str
) -> None:
    """Version 1 of the Java library wrote another class name."""
    store.put(bucket, "jobs/1", b"{}")
    assert resolve(f" \n{pointer(bucket, 'jobs/1', pointer_class)}", store, [bucket], 100) == "{}"


def test_the_object_stays_where_it_is(store: ObjectStore, bucket: str) -> None:
    """A message is delivered more than once, so its body has to be there more than once."""
    store.put(bucket, "jobs/1", b"{}")
    assert [resolve(pointer(bucket, "jobs/1"), store, [bucket], 2) for _ in range(2)] == ["{}", "{}"]


@pytest.mark.parametrize(
    ("key", "stored", "reason"),
    [
        ("jobs/none", None, "is not in its bucket"),
        ("../outside", None, "leads out"),
        ("jobs/1", b"\xff\xfe", "is not UTF-8"),
        ("jobs/1", b"x" * 101, "has more than 100 bytes"),
        ("", None, "is not named"),
        (7, None, "is not named"),
        (None, None, "is not named"),
    ],
)
def test_a_reference_that_cannot_be_followed_is_a_bad_message(
    store: ObjectStore, bucket: str, key: object, stored: bytes | None, reason: str
) -> None:
    """It goes to the failure queue with the code `claim_check_failed` and the reason."""
    if stored is not None:
        store.put(bucket, str(key), stored)
    with pytest.raises(BadMessage, match=reason) as caught:
        resolve(pointer(bucket, key), store, [bucket], 100)
    assert caught.value.code == "claim_check_failed"


def test_only_allowed_buckets_are_read(store: ObjectStore, tmp_path: Path) -> None:
    """The bucket's name has to be on the list as it stands there; another spelling of it is another name."""
    store.put(tmp_path.as_uri(), "jobs/1", b"{}")
    for other in ([], [f"{tmp_path.as_uri()}/"], [(tmp_path / "jobs").as_uri()]):
        with pytest.raises(BadMessage, match="claim_check_buckets"):
            resolve(pointer(tmp_path.as_uri(), "jobs/1"), store, other, 100)


def test_a_store_that_is_away_is_not_the_messages_fault(store: ObjectStore, tmp_path: Path) -> None:
    """The message waits; it is not buried."""
    away = (tmp_path / "not-mounted").as_uri()
    with pytest.raises(ObjectStoreUnavailable):
        resolve(pointer(away, "jobs/1"), store, [away], 100)
    with pytest.raises(ObjectStoreUnavailable):
        offload("{}", store, "file://relative", "results/1.json")


def test_a_body_that_is_no_reference_is_not_followed(store: ObjectStore) -> None:
    """`resolve` refuses it by type, though nobody should ask."""
    with pytest.raises(BadMessage):
        resolve("{}", store, [], 100)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from([CURRENT, LEGACY]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.text() | JSON.map(json.dumps) | st.tuples(st.sampled_from([CURRENT, LEGACY]), JSON).map(json.dumps))
def test_any_body_is_a_reference_or_not(body: str) -> None:
    """Whatever a producer sends, asking costs nothing but the answer."""
    assert is_pointer(body) in {True, False}


@pytest.mark.parametrize("body", ["[" * 100_000, '["\ud800", {}]', "[[], {}]", '[{"a": 1}, {}]', "[]", ""])
def test_hostile_bodies_are_no_references(body: str) -> None:
    """Depth, lone surrogates and unhashable classes do not stop the worker."""
    assert not is_pointer(body)
