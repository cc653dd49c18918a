"""What SQS's error codes mean for us: queue missing, call failed, lease lost, entry refused for good.

SQS's own texts are never passed on: some of them repeat the receipt handle.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from botocore.exceptions import ClientError

from worker.transports.base import Fault, QueueMissing, TransportError

MISSING_CODES: Final = frozenset({"NonExistentQueue", "QueueDoesNotExist"})
DENIED_CODES: Final = frozenset({"AccessDenied", "AccessDeniedException", "InvalidClientTokenId"})
LOST_CODES: Final = frozenset({"ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"})
REFUSED_CODES: Final = frozenset(
    {"InvalidMessageContents", "InvalidParameterValue", "InvalidAttributeValue", "BatchRequestTooLong"}
)
CODE: Final = re.compile(r"(?:.{0,200}[.#])?(\w{1,100})", re.ASCII)
UNKNOWN_CODE: Final = "unknown"
REMEDIES: Final = {
    "NoRegionError": "set [queues] region, or the variable AWS_DEFAULT_REGION",
    "NoCredentialsError": (
        "give the machine a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (any for a stand-in)"
    ),
}
"""What to do where boto3 does not even ask, by the name of its error."""

NOT_TRIED: Final = Fault("NotTried", "an earlier request of the same batch failed; it has to be repeated")
NO_ANSWER: Final = Fault("NoAnswer", "SQS did not say what became of the entry; it has to be repeated")


class RequestRefused(TransportError):
    """The whole request was refused for what one of its entries may hold; `code` says for what."""

    def __init__(self, queue_name: str, code: str) -> None:
        super().__init__(f"queue {queue_name}: SQS refused the request ({code}); repeating it cannot help")
        self.code = code


def short_code(code: object) -> str:
    """The code without its namespace: `AWS.SimpleQueueService.NonExistentQueue` is `NonExistentQueue`.

    What has not the form of a code, and may hold anything, is `unknown`.
    """
    found = CODE.fullmatch(code) if isinstance(code, str) else None
    return UNKNOWN_CODE if found is None else found[1]


def error_from(queue_name: str, error: Exception) -> TransportError:
    """The transport's error for one of boto3's, or for an answer that it cannot read."""
    if not isinstance(error, ClientError):
        return TransportError(
            f"queue {queue_name}: SQS could not be asked ({type(error).__name__}); "
            f"{REMEDIES.get(type(error).__name__) or _remedy('')}"
        )
    code = short_code(error.response.get("Error", {}).get("Code"))
    if code in MISSING_CODES:
        return QueueMissing(f"queue {queue_name}: it does not exist; `shardworker setup` creates it")
    if code in REFUSED_CODES | LOST_CODES:
        return RequestRefused(queue_name, code)
    return TransportError(f"queue {queue_name}: {error.operation_name} failed ({code}); {_remedy(code)}")


def foreign_answer(queue_name: str, error: Exception) -> TransportError:
    """The transport's error for an answer that is none of SQS's; `error` is what reading it raised."""
    return TransportError(
        f"queue {queue_name}: what answered is not SQS ({type(error).__name__}); look where the endpoint "
        "leads: to a proxy, a login page or another service?"
    )


def lease_fault(code: str, *, sender_fault: bool) -> Fault:
    """The fault of one entry of an ack, a release or an extension.

    An invalid value there is the receipt's, or a lease beyond SQS's twelve hours: held no longer either way.
    """
    del sender_fault
    return Fault(code, _entry_text(code), lost=code in LOST_CODES)


def send_fault(code: str, *, sender_fault: bool) -> Fault:
    """The fault of one entry of a send; final where SQS will never take that message."""
    return Fault(code, _entry_text(code), final=sender_fault and code in REFUSED_CODES)


def failed_code(failed: Mapping[str, Any]) -> str:
    """The code in an entry of an answer's `Failed` list."""
    return short_code(failed.get("Code"))


def _remedy(code: str) -> str:
    if code in DENIED_CODES:
        return "the role's or the queue's policy does not allow it"
    return "the call has to be repeated"


def _entry_text(code: str) -> str:
    return f"SQS did not do it for this entry ({code})"
