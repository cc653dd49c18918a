"""What SQS's answers say, and which answers are none of SQS's: a proxy's page, a login form, another service.

Every reader here raises one of `UNREADABLE` for those; nothing else is raised, whatever came.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, Protocol

from worker.transports.base import Delivery, Depth, Fault
from worker.transports.sqs_errors import NO_ANSWER, failed_code
from worker.transports.sqs_wire import delivery_from

UNREADABLE: Final = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What botocore, or a reader here, raises for an answer of another form than SQS's."""

URL_SCHEMES: Final = ("https://", "http://")
DEPTHS: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


class ForeignAnswer(ValueError):
    """The answer is none of SQS's."""


class HttpAnswer(Protocol):
    """An answer as it came over HTTP."""

    status_code: int
    content: bytes


def check_answer(http_response: HttpAnswer, parsed: Any, model: Any, **_: Any) -> None:
    """Raises for what botocore takes for an answer that says nothing: it would be taken for an empty queue.

    Called by botocore after each call; it costs nothing where the answer says something.
    """
    if http_response.status_code >= HTTPStatus.MULTIPLE_CHOICES or parsed.keys() != {"ResponseMetadata"}:
        return
    fields = json.loads(http_response.content)
    if not isinstance(fields, dict) or not fields.keys() <= model.output_shape.members.keys():
        raise ForeignAnswer


def deliveries_in(answer: Mapping[str, Any], now: float) -> list[Delivery]:
    """The messages of a receive that was answered at `now`, in seconds since 1970."""
    return [delivery_from(message, now) for message in answer.get("Messages", ())]


def faults_in(
    answer: Mapping[str, Any], positions: Iterable[int], fault_of: Callable[..., Fault]
) -> dict[int, Fault]:
    """The entries of a batch that were not done; one of which SQS says nothing, or both, was not."""
    done, failed = _by_id(answer.get("Successful", ())), _by_id(answer.get("Failed", ()))
    faults = {
        entry_id: fault_of(failed_code(entry), sender_fault=entry.get("SenderFault") is True)
        for entry_id, entry in failed.items()
    }
    return {
        position: faults.get(str(position), NO_ANSWER)
        for position in positions
        if str(position) in faults or str(position) not in done
    }


def _by_id(entries: Iterable[Any]) -> dict[str, Mapping[str, Any]]:
    return {
        entry["Id"]: entry
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("Id"), str)
    }


def url_in(answer: Mapping[str, Any]) -> str:
    """A queue's URL."""
    url = answer["QueueUrl"]
    if not url.startswith(URL_SCHEMES):
        raise ForeignAnswer
    return str(url)


def attributes_in(answer: Mapping[str, Any]) -> dict[str, str]:
    """A queue's attributes."""
    attributes = answer.get("Attributes", {})
    if not all(isinstance(value, str) for value in attributes.values()):
        raise ForeignAnswer
    return dict(attributes)


def depth_in(attributes: Mapping[str, str]) -> Depth:
    """How many messages there are, as SQS estimates it."""
    return Depth(*(int(attributes.get(name, 0)) for name in DEPTHS))
