"""S3 buckets through boto3, with every fault sorted into missing (final) and unavailable (wait)."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from worker.objects.base import (
    Meter,
    NoMeter,
    ObjectError,
    ObjectMissing,
    ObjectStoreUnavailable,
    guarded_stream,
)

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

CONNECT_TIMEOUT_SECONDS: Final = 5
READ_TIMEOUT_SECONDS: Final = 30
TRIES: Final = 3

# MethodNotAllowed answers a GET of a version that is a delete marker; InvalidArgument a version id that
# no version can have; KeyTooLongError a key that no object can have.
MISSING_CODES: Final = frozenset({"NoSuchKey", "NoSuchVersion", "MethodNotAllowed", "KeyTooLongError", "404"})
MISSING_VERSION_CODES: Final = frozenset({"InvalidArgument", "400"})


class S3Store:
    """Objects in S3. The client is made at first use; a call is tried three times at most, within boto3."""

    def __init__(
        self,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        connections_maximum: int = 10,
        meter: Meter | None = None,
    ) -> None:
        """`connections_maximum` should be at least the number of threads that read at once.

        `meter` is told of each request, those that boto3 repeats too, and of the objects' sizes.
        """
        self._region = region
        self._endpoint_url = endpoint_url
        self._connections_maximum = connections_maximum
        self._meter = meter or NoMeter()
        self._lock = threading.Lock()
        self._client: S3Client | None = None

    @contextmanager
    def open(self, bucket: str, key: str, version_id: str | None = None) -> Iterator[BinaryIO]:
        """A stream of the object's bytes, straight from the connection; see `ObjectStore.open`."""
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        body = self._get(bucket, key, version_id)
        with guarded_stream(body, (BotoCoreError, HTTPError, OSError), f"{key!r} in {bucket}") as stream:
            yield stream

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """See `ObjectStore.put`."""
        self._put(bucket, key, data)
        self._meter.note_bytes("written", len(data))

    def put_file(self, bucket: str, key: str, file: BinaryIO) -> None:
        """See `ObjectStore.put_file`. One request, which S3 takes up to 5 GB."""
        file.seek(0)
        self._put(bucket, key, file)
        self._meter.note_bytes("written", file.seek(0, os.SEEK_END))

    def check(self, bucket: str) -> list[str]:
        """See `ObjectStore.check`. It asks for what `s3:ListBucket` allows, which the worker needs too."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        try:
            self._connected().head_bucket(Bucket=bucket)
        except ClientError as error:
            return [_bucket_fault(bucket, _code(error))]
        except (BotoCoreError, ResponseParserError) as error:
            return [f"The bucket {bucket} cannot be asked ({_code(error)}): check network and credentials."]
        return []

    def close(self) -> None:
        """Let go of the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = None

    def _put(self, bucket: str, key: str, body: bytes | BinaryIO) -> None:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        try:
            self._connected().put_object(Bucket=bucket, Key=key, Body=body)
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            raise _unavailable(error, f"Writing {key!r} to the bucket {bucket}") from error

    def _get(self, bucket: str, key: str, version_id: str | None) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        try:
            version = {} if version_id is None else {"VersionId": version_id}
            answer = self._connected().get_object(Bucket=bucket, Key=key, **version)  # type: ignore[arg-type]
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            raise _read_fault(error, bucket, key, version_id) from error
        self._meter.note_bytes("read", answer["ContentLength"])
        return answer["Body"]

    def _connected(self) -> "S3Client":
        with self._lock:
            if self._client is None:
                self._client = self._new_client()
            return self._client

    def _new_client(self) -> "S3Client":
        import boto3.session
        from botocore.config import Config

        config = Config(
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": TRIES},
            max_pool_connections=self._connections_maximum,
            # The job's own SHA-256 is the check: a second one would call a changed object unavailable.
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if self._endpoint_url else "auto"},
        )
        session = boto3.session.Session(region_name=self._region)
        client = session.client("s3", endpoint_url=self._endpoint_url, config=config)
        client.meta.events.register("before-send.s3", self._note)
        return client

    def _note(self, event_name: str, **_: Any) -> None:
        self._meter.note_request("s3", event_name.rpartition(".")[2])


def _code(error: Exception) -> str:
    # a read time-out and a closed connection have the attribute, and None in it
    response: dict[str, Any] = getattr(error, "response", None) or {}
    code = response.get("Error", {}).get("Code")
    return str(code) if code else type(error).__name__


def _read_fault(error: Exception, bucket: str, key: str, version_id: str | None) -> ObjectError:
    code = _code(error)
    of_version = f" in the version {version_id!r}" if version_id is not None else ""
    if code in MISSING_CODES or (version_id is not None and code in MISSING_VERSION_CODES):
        return ObjectMissing(f"There is no object {key!r}{of_version} in the bucket {bucket} ({code}).")
    return _unavailable(error, f"Reading {key!r}{of_version} from the bucket {bucket}")


def _unavailable(error: Exception, what: str) -> ObjectStoreUnavailable:
    code = _code(error)
    advice = ""
    if code in {"AccessDenied", "403"}:
        advice = " Give the worker's role s3:GetObject (s3:GetObjectVersion), s3:PutObject and s3:ListBucket:"
        advice += " without the last, a missing object is reported as denied."
    return ObjectStoreUnavailable(code, f"{what} failed: {code}.{advice}")


def _bucket_fault(bucket: str, code: str) -> str:
    if code in {"404", "NoSuchBucket"}:
        return f"The bucket {bucket} does not exist: create it or correct the configuration."
    if code in {"403", "AccessDenied"}:
        return f"The bucket {bucket} refuses us: give the worker's role s3:ListBucket and s3:GetObject on it."
    return f"The bucket {bucket} answered {code}: check its region and the configuration."
