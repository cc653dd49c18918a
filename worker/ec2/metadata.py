"""The instance metadata service, version 2: one value at a time, with a token that is renewed as needed."""

from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Final
from urllib.parse import urlsplit

ENDPOINT_VARIABLE: Final = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
DISABLED_VARIABLE: Final = "AWS_EC2_METADATA_DISABLED"
ENDPOINT_DEFAULT: Final = "http://169.254.169.254"
ROOT: Final = "/latest/meta-data/"
TOKEN_PATH: Final = "/latest/api/token"  # noqa: S105  # a path
TOKEN_HEADER: Final = "X-aws-ec2-metadata-token"  # noqa: S105  # a name
TOKEN_LIFE: Final = {"X-aws-ec2-metadata-token-ttl-seconds": "21600"}
TIMEOUT_SECONDS: Final = 2.0

OK: Final = 200
UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404


class MetadataUnavailable(Exception):
    """The metadata service gave no answer that can be used. The message says what it did instead."""


class Metadata:
    """Reads values, each over a connection of its own; never through a proxy, never without a token.

    A call takes 6 s at most: 2 s each for a value, a new token and the value again.
    """

    def __init__(self, endpoint: str = ENDPOINT_DEFAULT) -> None:
        parts = urlsplit(endpoint)
        self._host = parts.hostname or ""
        self._port = parts.port or 80
        self._prefix = parts.path.rstrip("/")
        self._token: str | None = None

    def get(self, path: str) -> str | None:
        """The value at `path`, such as `instance-id`; None where there is none (404).

        Raises:
            MetadataUnavailable: no connection, no token, or an answer that is neither a value nor a 404.
        """
        status, text = self._ask(path)
        if status == UNAUTHORIZED:
            self._token = None
            status, text = self._ask(path)
        if status == NOT_FOUND:
            return None
        if status != OK:
            raise MetadataUnavailable(f"{path} was answered with status {status}")
        return text

    def _ask(self, path: str) -> tuple[int, str]:
        if self._token is None:
            self._token = self._new_token()
        return self._request("GET", ROOT + path, {TOKEN_HEADER: self._token})

    def _new_token(self) -> str:
        status, text = self._request("PUT", TOKEN_PATH, TOKEN_LIFE)
        if status == OK:
            return text
        switched_off = ": the metadata service is switched off here" if status == FORBIDDEN else ""
        raise MetadataUnavailable(f"the request for a token was answered with status {status}{switched_off}")

    def _request(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
        connection = HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, self._prefix + path, headers=dict(headers))
            response = connection.getresponse()
            return response.status, response.read().decode("utf-8", "replace").strip()
        except (OSError, HTTPException) as error:
            said = str(error) or type(error).__name__
            raise MetadataUnavailable(f"{method} {path} got no answer ({said})") from error
        finally:
            connection.close()


def open_metadata(environment: Mapping[str, str]) -> Metadata | None:
    """The service where the environment says it is, by the SDKs' own variables; None if it is disabled."""
    if environment.get(DISABLED_VARIABLE, "").lower() == "true":
        return None
    return Metadata(environment.get(ENDPOINT_VARIABLE) or ENDPOINT_DEFAULT)
