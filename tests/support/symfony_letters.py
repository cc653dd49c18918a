"""Letters that Symfony's side reads or wrote: its headers on messages, the worker's side that signs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.headers import read_headers
from config.stamps import BUS_NAME, STAMP_PREFIX
from config.symfony import Symfony
from tests.support.fakes import ManualTime, MemoryStore, delivery_of
from tests.support.jobs import held_of
from tests.support.memory_queue import MemoryPlace, MemoryTransport
from worker.conclusion import Reason
from worker.letters import Letters
from worker.symfony.header_map import fold
from worker.symfony.signatures import Signatures
from worker.symfony.signing import sign
from worker.symfony.writing import SymfonyWriter
from worker.transports.base import Attribute, Delivery, Message
from worker.transports.limits import message_fault

KEY = b"the application's secret"
CLASS = "App\\Message\\ImportJob"
BUS = STAMP_PREFIX + BUS_NAME
HEADERS = {"type": CLASS, "Content-Type": "application/json", BUS: '[{"busName":"messenger.bus.default"}]'}


def key_file(directory: Path, key: bytes = KEY, name: str = "sign-key") -> str:
    """The path of a file with a key in it."""
    file = directory / name
    file.write_bytes(key + b"\n")
    return str(file)


def from_symfony(body: str, headers: Mapping[str, str] = HEADERS, key: bytes | None = None) -> Message:
    """A message as Symfony sends it; signed where there is a key."""
    signature = {} if key is None else sign(body, headers, key)
    return Message(body, fold({**headers, **signature}))


class SymfonyDesk:
    """Letters to a failure queue that Symfony's consumers read, and back."""

    def __init__(self, bucket: str | None = "checks", **section: Any) -> None:
        self.section = Symfony.model_validate(section)
        self.signatures = Signatures(self.section)
        self.time = ManualTime()
        self.store = MemoryStore()
        self.queue: MemoryTransport = MemoryPlace().transport("failure")
        writer = SymfonyWriter(self.section, self.signatures)
        self.letters = Letters(self.store, bucket, "host:1", self.time.clock, writer)

    def bury(self, original: Message, reason: Reason | None = None) -> Delivery:
        """The dead letter of a message, as the failure queue delivers it."""
        held = held_of(original.body, attributes=original.attributes)
        cause = reason or Reason("schema_defect", "A table is missing.", 5)
        return delivered(self.letters.dead_letter(self.queue, held, cause, None, answered=True))

    def retry(self, letter: Delivery) -> Delivery:
        """The message that a retry sends, as the request queue delivers it."""
        return delivered(self.letters.retry(self.queue, letter, renew=False))


def delivered(message: Message) -> Delivery:
    """The message as a queue delivers it, which has taken it as it is."""
    assert message_fault(message) is None
    return delivery_of(message.body, message_id="letter-1", attributes=dict(message.attributes))


def headers_of(attributes: Mapping[str, Attribute]) -> dict[str, str]:
    """The headers that a reader finds: the strings, those that were folded among them."""
    strings = {name: one.value for name, one in attributes.items() if one.data_type == "String"}
    return read_headers({name: value for name, value in strings.items() if isinstance(value, str)})
