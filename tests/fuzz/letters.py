"""Messages as cases: what a queue may bring, and new ones that are nearly jobs, or nearly Symfony's."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from config.headers import OWN_ATTRIBUTE, OwnHeader, write_own_header
from config.job import BadMessage, read_object
from config.symfony import Symfony
from tests.fuzz.mutation import TOKENS, bent_case, bent_json, bent_json_text
from tests.fuzz.tape import Tape
from tests.fuzz.target import Case
from tests.support.fakes import NOON
from tests.support.jobs import held_of
from tests.support.memory_queue import MemoryTransport
from tests.support.symfony_letters import KEY
from tests.support.symfony_messages import CLASS, IMPORT_JOB, NAMES
from worker.claim_check import LEGACY_POINTER_CLASS, POINTER_CLASS
from worker.held import Held
from worker.signing import Key
from worker.signing import sign as sign_job
from worker.signing_jobs import Received
from worker.symfony.signing import sign
from worker.transports.base import Attribute

FOLDER: Final = "letters"
BUCKET: Final = "claims"
OBJECT_KEY: Final = "bodies/1.json"
SIGNED_CLASS: Final = "App\\Message\\SignedJob"
SIGNED_TYPE: Final = "orders.signed"
OWN_KEY: Final = b"a key of the worker's own, for jobs that submit sends"
CLASSES: Final = [CLASS, SIGNED_CLASS, "App\\Message\\Unknown", "orders.insert", "\\", "*", "", "x" * 1001]
STAMP: Final = "X-Message-Stamp-Symfony\\Component\\Messenger\\Stamp\\"
KNOWN_JOB: Final = {
    "job_id": "job-1",
    "type": "orders.insert",
    "partner_id": "acme",
    "customers": ["c-1", {"customer_id": "c-3", "payload": {"order_no": 3}, "attachments": []}],
    "payload": {"order_no": 1, "rows": [{"order_no": 7}]},
    "submitted_at": "2026-11-21T11:00:00Z",
}
OWN: Final = {
    "run": 2,
    "resends": 1,
    "first_sent_at": "2026-11-20T10:00:00Z",
    "not_before": "2026-11-21T11:59:00Z",
    "retried_at": "2026-11-21T11:00:00Z",
    "origin": "requests",
    "reason": "It failed.",
    "code": "internal_error",
    "attempt": 3,
    "answered": True,
    "folded": {"type": CLASS},
    "folded_others": {"n": ["Number", "7"], "b": ["Binary", "AAH/"]},
    "replaced": {"Content-Type": ["String", "application/json"], "x": None},
    "attributes_key": "attributes/1.json",
}
SECTION: Final = Symfony.model_validate(
    {"types": {CLASS: "orders.insert", SIGNED_CLASS: SIGNED_TYPE}, "fields": NAMES}
)


def letter(body: str, attributes: dict[str, list[str]] | None = None, **rest: Any) -> Case:
    """A message as a case; an attribute is its type and its text, which is Latin-1 where it is binary."""
    return {"body": body, "attributes": attributes or {}, **rest}


def delivered(
    case: Case, source: MemoryTransport | None = None, *, message_id: str = "message-1", receives: int = 0
) -> Held:
    """The message in hand, received so many times more than the case says."""
    count = case.get("receive_count", 1) + receives
    sent_at = NOON - timedelta(seconds=case.get("seconds_ago", 0))
    attributes = {name: _attribute(*pair) for name, pair in case["attributes"].items()}
    return held_of(
        case["body"],
        source=source,
        message_id=message_id,
        attributes=attributes,
        receive_count=count,
        sent_at=sent_at,
    )


def _attribute(data_type: str, text: str) -> Attribute:
    is_binary = data_type.startswith("Binary")
    return Attribute(data_type, text.encode("latin-1", "replace") if is_binary else text)


def signed(case: Case) -> Case:
    """The same message, signed with the right key: what lies behind that is reached too."""
    headers = {name: text for name, (kind, text) in case["attributes"].items() if kind == "String"}
    headers["type"] = SIGNED_CLASS
    strings = {**headers, **sign(case["body"], headers, KEY)}
    return {
        **case,
        "attributes": {**case["attributes"], **{name: ["String", text] for name, text in strings.items()}},
    }


def signed_by_us(case: Case) -> Case:
    """The same message, signed as `submit` signs what it sends; as it was where it is no object."""
    signature = Key.of(OWN_KEY)
    try:
        content = Received(case["body"], {}, OwnHeader(), read_object(case["body"], exact=False)).content
    except BadMessage:
        return case
    own = OwnHeader(signature=str(sign_job(content, int(NOON.timestamp()), signature)))
    return {**case, "attributes": {**case["attributes"], OWN_ATTRIBUTE: ["String", write_own_header(own)]}}


def make_letter(tape: Tape, kept: list[Case]) -> Case:
    """A message of the corpus with some of its texts bent, or a new one that is nearly right."""
    if not tape.once_in(3):
        return bent_case(tape, kept)
    case = letter(
        _body(tape),
        _headers(tape),
        copied=tape.once_in(2),
        again=tape.once_in(2),
        receive_count=tape.pick([1, 2, 5, 11, 500]),
        seconds_ago=tape.pick([0, 0, 30, 700, 86_400 * 20, 86_400 * 45, -600]),
    )
    if tape.once_in(10):
        case["object"], case["body"] = case["body"], _pointer(tape)
    if tape.once_in(6):
        return signed(case)
    return signed_by_us(case) if tape.once_in(6) else case


def _body(tape: Tape) -> str:
    match tape.number(6):
        case 0 | 1:
            return bent_json_text(tape, bent_json(tape, KNOWN_JOB))
        case 2:
            return bent_json_text(tape, {**KNOWN_JOB, "payload": tape.json()})
        case 3:
            rows = [{"order_no": tape.json(), tape.text(4): tape.json()}, {"order_no": tape.number(9)}]
            return bent_json_text(tape, {**KNOWN_JOB, "payload": {"rows": rows}})
        case 4:
            return bent_json_text(tape, bent_json(tape, IMPORT_JOB))
        case _:
            return tape.pick([json.dumps(tape.json()), tape.text(80), tape.pick(TOKENS), *PHP])


def _headers(tape: Tape) -> dict[str, list[str]]:
    makers = [name for name in HEADERS if tape.once_in(3)]
    headers = {name: [tape.pick(KINDS), HEADERS[name](tape)] for name in makers}
    others = [tape.pick(OTHERS) for _ in range(tape.number(3))]
    return {**headers, **{name or tape.text(): [tape.pick(KINDS), tape.text(20)] for name in others}}


def _pointer(tape: Tape) -> str:
    name = tape.pick([POINTER_CLASS, LEGACY_POINTER_CLASS, "x", None])
    bucket = tape.pick([BUCKET, BUCKET, "other", "", 5])
    key = tape.pick([OBJECT_KEY, OBJECT_KEY, "missing", "../x", "\ud800", "", None])
    return bent_json_text(tape, [name, {"s3BucketName": bucket, "s3Key": key}])


def _json_header(document: Any) -> Callable[[Tape], str]:
    return lambda tape: bent_json_text(tape, tape.json() if tape.once_in(6) else bent_json(tape, document))


PHP: Final = [r"O:36:\"Symfony\\Component\\Messenger\\Envelope\":2:{}", "TzozNjoiU3ltZm9ueQ==", "", " "]
TRACE: Final = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
KINDS: Final = ["String", "String", "String", "Number", "Binary", "String.label", "Binary.x", ""]
OTHERS: Final = ["", STAMP, STAMP + "X", "Type", "ExtendedPayloadSize", "x" * 256]
HEADERS: Final[dict[str, Callable[[Tape], str]]] = {
    "type": lambda tape: tape.pick([*CLASSES, tape.text(20)]),
    "Shardworker": _json_header(OWN),
    "X-Symfony-Messenger": _json_header({"type": CLASS, "traceparent": TRACE}),
    "Body-Sign": lambda tape: tape.pick(["", "v2:", "v2:" + "0" * 64, "é", "\ud800"]),
    STAMP + "RedeliveryStamp": _json_header([{"retryCount": 2, "delay": 0}, {"busName": "b"}]),
    "traceparent": lambda tape: tape.pick([TRACE, "", "00-", tape.text()]),
}
