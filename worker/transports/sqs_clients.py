"""The two SQS clients of a queue: one whose calls wait for messages, one whose calls are answered at once."""

from collections.abc import Callable
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config

from worker.transports.limits import WAIT_MAXIMUM
from worker.transports.sqs_answers import check_answer

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

CONNECT_TIMEOUT_SECONDS: Final = 5
CONTROL_TIMEOUT_SECONDS: Final = 10
POLLING_TIMEOUT_SECONDS: Final = int(WAIT_MAXIMUM.total_seconds()) + 10
CONTROL_TRIES: Final = 2
CONNECTIONS: Final = 32

# Each of these saves CPU on every call (together a fifth of it); what they check or build, we do not need.
CHEAP: Final = Config(
    parameter_validation=False,
    inject_host_prefix=False,
    user_agent="shardworker",
    disable_request_compression=True,
    tcp_keepalive=True,
    connect_timeout=CONNECT_TIMEOUT_SECONDS,
    max_pool_connections=CONNECTIONS,
)


class Clients:
    """Both clients, from one session that refreshes its credentials by itself; made on first use.

    `note_request` is told the action of each request that is sent, those that boto3 repeats too.
    """

    def __init__(
        self, endpoint_url: str | None, region: str | None, note_request: Callable[[str], None]
    ) -> None:
        self._endpoint_url = endpoint_url
        self._region = region
        self._note_request = note_request
        self._lock = Lock()  # a session makes one client at a time
        self._made: list[SQSClient] = []

    @cached_property
    def polling(self) -> "SQSClient":
        """For receives: waits longer than any long poll, never repeats a call by itself."""
        return self._make(POLLING_TIMEOUT_SECONDS, tries=1)

    @cached_property
    def control(self) -> "SQSClient":
        """For everything else: a long poll never delays an ack."""
        return self._make(CONTROL_TIMEOUT_SECONDS, tries=CONTROL_TRIES)

    def close(self) -> None:
        """Close the idle connections of both."""
        with self._lock:
            for client in self._made:
                client.close()

    @cached_property
    def _session(self) -> boto3.session.Session:
        return boto3.session.Session(region_name=self._region)

    def _make(self, read_timeout_seconds: int, *, tries: int) -> "SQSClient":
        config = CHEAP.merge(
            Config(
                read_timeout=read_timeout_seconds,
                retries={"mode": "standard", "total_max_attempts": tries},
            )
        )
        with self._lock:
            client = self._session.client("sqs", endpoint_url=self._endpoint_url, config=config)
            self._made.append(client)
        client.meta.events.register("before-send.sqs", self._note)
        client.meta.events.register("after-call.sqs", check_answer)
        return client

    def _note(self, event_name: str, **_: Any) -> None:
        self._note_request(event_name.rpartition(".")[2])
