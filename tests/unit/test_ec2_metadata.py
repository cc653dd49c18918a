"""The metadata service's client: tokens, missing values, and everything that is no answer."""

from collections.abc import Iterator

import pytest

from tests.support.imds import INSTANCE_ID, FakeMetadata
from tests.support.private_server import free_port
from worker.ec2.metadata import Metadata, MetadataUnavailable, open_metadata


@pytest.fixture
def service() -> Iterator[FakeMetadata]:
    with FakeMetadata() as service:
        yield service


def test_a_value_is_read_with_a_token_that_is_asked_for_once(service: FakeMetadata) -> None:
    """Version 2 only: no value without a token, one token for many values."""
    metadata = Metadata(service.endpoint_url)

    assert [metadata.get("instance-id") for _ in range(3)] == [INSTANCE_ID] * 3
    assert service.tokens_given == 1


def test_a_token_that_is_good_no_more_is_replaced(service: FakeMetadata) -> None:
    """After six hours, or when the service forgot it."""
    metadata = Metadata(service.endpoint_url)
    metadata.get("instance-id")
    service.forget_tokens()

    assert metadata.get("instance-id") == INSTANCE_ID
    assert service.tokens_given == 2


def test_what_is_not_there_is_nothing(service: FakeMetadata) -> None:
    """A 404 is an answer: no group, no notice."""
    assert Metadata(service.endpoint_url).get("spot/instance-action") is None


def test_an_error_is_no_answer(service: FakeMetadata) -> None:
    """It must not be taken for the absence of a notice, and the next read can succeed."""
    service.fail("instance-id", 1)
    metadata = Metadata(service.endpoint_url)

    with pytest.raises(MetadataUnavailable, match="instance-id was answered with status 500"):
        metadata.get("instance-id")
    assert metadata.get("instance-id") == INSTANCE_ID


def test_a_service_that_is_switched_off_says_so(service: FakeMetadata) -> None:
    """The operator reads it in the one line that is written."""
    service.is_switched_off = True

    with pytest.raises(MetadataUnavailable, match="status 403: the metadata service is switched off here"):
        Metadata(service.endpoint_url).get("instance-id")


def test_nobody_there_is_no_answer() -> None:
    """A refused connection, as on a machine that is none of EC2's."""
    with pytest.raises(MetadataUnavailable, match="got no answer"):
        Metadata(f"http://127.0.0.1:{free_port()}").get("instance-id")


def test_no_proxy_is_asked(service: FakeMetadata, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address of the metadata is the machine's own: a proxy would be asked for its own machine's."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert Metadata(service.endpoint_url).get("instance-id") == INSTANCE_ID


@pytest.mark.parametrize(
    ("value", "is_open"), [("true", False), ("TRUE", False), ("false", True), ("", True)]
)
def test_the_variable_that_disables_it_is_heeded(value: str, *, is_open: bool) -> None:
    """As by all AWS programs."""
    assert (open_metadata({"AWS_EC2_METADATA_DISABLED": value}) is not None) is is_open
