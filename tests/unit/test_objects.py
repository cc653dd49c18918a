"""The object store: both kinds of buckets keep one promise, and S3's faults are sorted rightly."""

import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, NamedTuple

import boto3
import pytest
from moto.server import ThreadedMotoServer

from config.settings import Queues
from worker.objects import (
    ObjectMissing,
    ObjectStore,
    ObjectStoreUnavailable,
    open_object_store,
)

BUCKET = "partner-files"


def settings(endpoint_url: str | None = None) -> Queues:
    return Queues(
        request=["sqs://requests"],
        response="sqs://responses",
        failure="sqs://failures",
        endpoint_url=endpoint_url,
        region="eu-west-1",
    )


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


class Place(NamedTuple):
    store: ObjectStore
    bucket: str


@pytest.fixture(params=["s3", "directory"])
def place(request: pytest.FixtureRequest, moto_url: str, tmp_path: Path) -> Iterator[Place]:
    store = open_object_store(settings(moto_url))
    if request.param == "s3":
        client = boto3.client("s3", endpoint_url=moto_url, region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        client.close()
        yield Place(store, BUCKET)
    else:
        (tmp_path / "bucket").mkdir()
        yield Place(store, (tmp_path / "bucket").as_uri())
    store.close()


def read(place: Place, key: str, version_id: str | None = None) -> bytes:
    with place.store.open(place.bucket, key, version_id) as stream:
        return stream.read()


def test_what_is_put_is_what_is_read(place: Place) -> None:
    """An object's bytes come back as they were, under a key with folders and characters of any script."""
    place.store.put(place.bucket, "acme/01JD/Zeilen ä 1%20.csv", b"a;b\n" * 100_000)
    assert read(place, "acme/01JD/Zeilen ä 1%20.csv") == b"a;b\n" * 100_000


def test_a_file_is_put_from_its_beginning(place: Place) -> None:
    """Wherever it was last written or read, and however often it is put."""
    with tempfile.TemporaryFile() as file:
        file.write(b"a;b\n" * 100_000)
        for _ in range(2):
            place.store.put_file(place.bucket, "acme/01JD/file.csv", file)

    assert read(place, "acme/01JD/file.csv") == b"a;b\n" * 100_000


def test_a_second_put_takes_the_first_ones_place(place: Place) -> None:
    """A result that is sent again overwrites the same key."""
    place.store.put(place.bucket, "results/1.json", b"first")
    place.store.put(place.bucket, "results/1.json", b"2nd")
    assert read(place, "results/1.json") == b"2nd"


def test_a_stream_is_read_in_pieces(place: Place) -> None:
    """A reader decides how many bytes it holds at once, and may leave before the end."""
    place.store.put(place.bucket, "acme/large", os.urandom(3_000_000))
    with place.store.open(place.bucket, "acme/large") as stream:
        assert [len(stream.read(size)) for size in (1, 10, 100_000)] == [1, 10, 100_000]


def test_an_empty_object_is_an_object(place: Place) -> None:
    """Nothing in it is not the same as nothing there."""
    place.store.put(place.bucket, "acme/empty", b"")
    assert read(place, "acme/empty") == b""


@pytest.mark.parametrize("key", ["acme/none", "acme/none/deeper", "a" * 1025, "acme"])
def test_an_object_that_is_not_there_is_missing(place: Place, key: str) -> None:
    """That is final: asking again cannot help. A folder is no object."""
    place.store.put(place.bucket, "acme/there", b"")
    with pytest.raises(ObjectMissing, match="There is no object"):
        read(place, key)


def test_a_version_that_is_not_there_is_missing(place: Place) -> None:
    """Also where the version's id cannot be one, and where the bucket keeps no versions."""
    place.store.put(place.bucket, "acme/there", b"1")
    with pytest.raises(ObjectMissing):
        read(place, "acme/there", "never-was-a-version")


def test_a_bucket_that_is_not_there_is_an_operators_matter(place: Place) -> None:
    """A partner cannot repair a missing bucket, so nobody is told that an attachment is missing."""
    absent = place._replace(bucket=place.bucket + "-absent")
    with pytest.raises(ObjectStoreUnavailable) as caught:
        read(absent, "acme/lines.csv")
    assert caught.value.code == "NoSuchBucket"
    assert len(place.store.check(absent.bucket)) == 1


def test_a_bucket_in_order_has_no_findings(place: Place) -> None:
    """`check` says nothing where there is nothing to say."""
    assert place.store.check(place.bucket) == []


def test_many_threads_read_at_once(place: Place) -> None:
    """The store is shared by all threads that prepare jobs; its client is made once."""
    place.store.put(place.bucket, "acme/shared", b"x" * 50_000)
    sizes: list[int] = []
    threads = [
        threading.Thread(target=lambda: sizes.append(len(read(place, "acme/shared")))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [50_000] * 8


def test_a_version_is_read_though_a_later_one_came(moto_url: str) -> None:
    """`version_id` pins the bytes; a delete marker, asked for by its version, is missing."""
    client = boto3.client("s3", endpoint_url=moto_url, region_name="us-east-1")
    client.create_bucket(Bucket="versions")
    client.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    first = client.put_object(Bucket="versions", Key="acme/a", Body=b"first")["VersionId"]
    client.put_object(Bucket="versions", Key="acme/a", Body=b"second")
    marker = client.delete_object(Bucket="versions", Key="acme/a")["VersionId"]
    place = Place(open_object_store(settings(moto_url)), "versions")
    assert read(place, "acme/a", first) == b"first"
    for version in (None, marker):
        with pytest.raises(ObjectMissing):
            read(place, "acme/a", version)
    place.store.close()
    client.close()


class ScriptedS3(BaseHTTPRequestHandler):
    """Answers every request with the same status and S3 error code, or with half of a body."""

    status: ClassVar[int] = 200
    code: ClassVar[str] = ""
    requests: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Answer as scripted."""
        self.requests.append(self.path)
        body = f"<Error><Code>{self.code}</Code><Message>secret detail</Message></Error>".encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body) + (1000 if self.status == 200 else 0)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def scripted() -> Iterator[tuple[type[ScriptedS3], Place]]:
    handler = type("Handler", (ScriptedS3,), {"requests": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    store = open_object_store(settings(f"http://127.0.0.1:{server.server_port}"))
    yield handler, Place(store, BUCKET)
    store.close()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("status", "code"), [(403, "AccessDenied"), (403, "InvalidObjectState"), (400, "ExpiredToken")]
)
def test_a_refusal_is_not_the_partners_fault(
    scripted: tuple[type[ScriptedS3], Place], status: int, code: str
) -> None:
    """Permissions, credentials and storage classes are for operators; the code goes to the log."""
    scripted[0].status, scripted[0].code = status, code
    with pytest.raises(ObjectStoreUnavailable, match=code) as caught:
        read(scripted[1], "acme/lines.csv")
    assert caught.value.code == code
    assert "secret detail" not in str(caught.value)


def test_throttling_is_tried_three_times_and_then_told(scripted: tuple[type[ScriptedS3], Place]) -> None:
    """There is no silent retry loop below the worker's own back-off."""
    scripted[0].status, scripted[0].code = 503, "SlowDown"
    with pytest.raises(ObjectStoreUnavailable) as caught:
        read(scripted[1], "acme/lines.csv")
    assert caught.value.code == "SlowDown"
    assert len(scripted[0].requests) == 3


def test_a_body_that_breaks_off_is_the_stores_fault(scripted: tuple[type[ScriptedS3], Place]) -> None:
    """Half of an object is not another object: it is asked for again, not reported as a mismatch."""
    with pytest.raises(ObjectStoreUnavailable, match="broke off"):
        read(scripted[1], "acme/lines.csv")


def test_a_version_id_that_s3_cannot_read_is_missing(scripted: tuple[type[ScriptedS3], Place]) -> None:
    """S3 answers `InvalidArgument` to it; without a version that code is no word about the object."""
    scripted[0].status, scripted[0].code = 400, "InvalidArgument"
    with pytest.raises(ObjectMissing):
        read(scripted[1], "acme/lines.csv", "no version")
    with pytest.raises(ObjectStoreUnavailable):
        read(scripted[1], "acme/lines.csv")


def test_a_store_without_connection_is_unavailable() -> None:
    """Reads, writes and checks say so, by the kind of the fault."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        store = open_object_store(settings(f"http://127.0.0.1:{unused.getsockname()[1]}"))
        with pytest.raises(ObjectStoreUnavailable) as caught:
            read(Place(store, BUCKET), "acme/lines.csv")
        assert caught.value.code == "EndpointConnectionError"
        with pytest.raises(ObjectStoreUnavailable):
            store.put(BUCKET, "results/1.json", b"{}")
        assert "EndpointConnectionError" in store.check(BUCKET)[0]
        store.close()


def test_a_bucket_name_that_s3_cannot_have_is_unavailable(moto_url: str) -> None:
    """Only the configuration names buckets, so its mistakes are the operators'."""
    store = open_object_store(settings(moto_url))
    with pytest.raises(ObjectStoreUnavailable):
        read(Place(store, "no bucket!"), "acme/lines.csv")
    assert store.check("no bucket!")
    store.close()
