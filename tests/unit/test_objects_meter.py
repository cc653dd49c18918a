"""What S3 is asked for is told, as it is sent: by AWS's names, with the objects' sizes."""

from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

from config.settings import Queues
from worker.objects import open_object_store


class Listening:
    """A meter that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str | int]] = []

    def note_request(self, service: str, action: str, /) -> None:
        """A request was sent."""
        self.told.append((service, action))

    def note_bytes(self, direction: str, count: int, /) -> None:
        """An object was read or written."""
        self.told.append((direction, count))


@pytest.fixture
def moto_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
    client.create_bucket(Bucket="metered")
    client.close()
    yield f"http://{host}:{port}"
    server.stop()


def test_requests_to_s3_and_the_objects_sizes_are_told(moto_url: str) -> None:
    """One request and one object, each way."""
    settings = Queues(
        request=["sqs://a"], response="sqs://b", failure="sqs://c", endpoint_url=moto_url, region="us-east-1"
    )
    meter = Listening()
    store = open_object_store(settings, meter=meter)
    store.put("metered", "acme/a", b"12345")
    with store.open("metered", "acme/a") as stream:
        assert stream.read() == b"12345"
    store.close()

    assert meter.told == [("s3", "PutObject"), ("written", 5), ("s3", "GetObject"), ("read", 5)]
