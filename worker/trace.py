"""The trace that a message belongs to: read from W3C's header or AWS's, handed on with the result."""

import re
from typing import Final, NamedTuple

from config.headers import SYMFONY_ATTRIBUTE, read_headers
from worker.transports.base import Attribute, Delivery

TRACEPARENT: Final = "traceparent"
TRACEPARENT_CHARACTERS_MAXIMUM: Final = 512
"""Later versions may append fields; what is longer would go on with each result, and into each span."""
W3C: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
AWS_ROOT: Final = re.compile(
    r"(?:^|;)\s*Root=1-(?P<time>[0-9a-f]{8})-(?P<rest>[0-9a-f]{24})(?:;|\s*$)", re.IGNORECASE
)
AWS_PARENT: Final = re.compile(r"(?:^|;)\s*Parent=(?P<parent>[0-9a-f]{16})(?:;|\s*$)", re.IGNORECASE)
AWS_SAMPLED: Final = re.compile(r"(?:^|;)\s*Sampled=1(?:;|\s*$)")


class Trace(NamedTuple):
    """A trace: its id, 32 hexadecimal digits, and W3C's header, where a parent is known."""

    trace_id: str
    traceparent: str | None

    def attributes(self) -> dict[str, Attribute]:
        """What a message carries that belongs to the same trace."""
        return {} if self.traceparent is None else {TRACEPARENT: Attribute("String", self.traceparent)}


def trace_of(delivery: Delivery) -> Trace | None:
    """The trace of a message: W3C's `traceparent` among its headers, else what AWS X-Ray put beside it."""
    header = _traceparent(delivery)
    found = W3C.fullmatch(header) if header and len(header) <= TRACEPARENT_CHARACTERS_MAXIMUM else None
    if header and found:
        return Trace(found["trace"], header)
    return None if delivery.trace_header is None else _of_aws(delivery.trace_header)


def _traceparent(delivery: Delivery) -> str | None:
    attribute = delivery.attributes.get(TRACEPARENT)
    if attribute is not None and isinstance(attribute.value, str):
        return attribute.value
    # Symfony folds its headers into one where they are many; this is asked of each message.
    return (
        read_headers(delivery.headers).get(TRACEPARENT) if SYMFONY_ATTRIBUTE in delivery.attributes else None
    )


def _of_aws(header: str) -> Trace | None:
    root = AWS_ROOT.search(header)
    if root is None:
        return None
    trace_id = (root["time"] + root["rest"]).lower()
    parent = AWS_PARENT.search(header)
    if parent is None:
        return Trace(trace_id, None)
    flags = "01" if AWS_SAMPLED.search(header) else "00"
    return Trace(trace_id, f"00-{trace_id}-{parent['parent'].lower()}-{flags}")
