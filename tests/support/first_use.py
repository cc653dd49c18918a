"""Two threads meet at the first use of each model in a new process: `python -m tests.support.first_use`.

A type that is not ready then ends the process: msgspec lets a thread use what another one is still building.
"""

import io
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, NamedTuple

import msgspec

from config.headers import OWN_ATTRIBUTE, read_own_header
from config.job import decode_job
from config.result import decode_result
from handlers import json_rows
from handlers.models import payload_decoder
from worker.transports.kombu_wire import WIRE_HEADER, _wire_in
from worker.transports.redis_envelope import Entry, delivery_of

PATIENCE_SECONDS: Final = 30.0
TOGETHER_SECONDS: Final = 1.0
BUILDING: Final = "get_class_annotations"
WITHIN: Final = 2
ATTACHMENT: Final = '{"name": "a", "bucket": "b", "key": "k", "size": 1, "sha256": "%s"}' % ("0" * 64)
JOB: Final = (
    '{"job_id": "1", "type": "t", "partner_id": "p", "customers": ["c", {"customer_id": "d"}],'
    f' "attachments": [{ATTACHMENT}]}}'
)
RESULT: Final = (
    '{"job_id": "1", "run": 1, "type": "t", "partner_id": "p", "correlation_id": null, "dry_run": false,'
    ' "status": "succeeded", "received_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:00:00Z",'
    ' "customers": [{"customer_id": "c", "status": "succeeded", "result": {}}]}'
)
ENVELOPE: Final = b'{"body": "x", "properties": {"body_encoding": "utf-8"}, "headers": {}}'


class Order(msgspec.Struct):
    number: int


class Orders(msgspec.Struct):
    rows: list[Order]


class Line(NamedTuple):
    number: int


class Lines(NamedTuple):
    rows: list[Line]


class Weight(msgspec.Struct):
    grams: int


class Parcel(msgspec.Struct):
    weight: Weight


STRUCT: Final = payload_decoder("struct", Orders)
TUPLE: Final = payload_decoder("tuple", Lines)
USES: Final[dict[str, Callable[[], Any]]] = {
    "a job": lambda: decode_job(JOB),
    "a header": lambda: read_own_header({OWN_ATTRIBUTE: '{"run": 2}'}),
    "a result": lambda: decode_result(RESULT),
    "a message on Redis": lambda: delivery_of(Entry("1", 1, ENVELOPE, 0.0), "receipt"),
    "a message on RabbitMQ": lambda: _wire_in({WIRE_HEADER: '{"id": "1", "sent": 1.0}'}),
    "a handler's rows": lambda: list(json_rows(io.BytesIO(b'{"weight": {"grams": 1}}'), Parcel)),
    "a handler's struct": lambda: STRUCT({"rows": [{"number": 1}]}),
    "a handler's tuple": lambda: TUPLE([[[1]]]),
}


def main() -> None:
    """Use each model in two threads; says whose turn it is, for the process may end there."""
    for name, use in USES.items():
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()
        _meet(use)


def _meet(use: Callable[[], Any]) -> None:
    """Let a second thread come while the first one builds a type within another one, if it builds any."""
    stopped, let_go = threading.Event(), threading.Event()
    first = threading.Thread(target=_use_slowly, args=(use, stopped, let_go))
    first.start()
    assert stopped.wait(PATIENCE_SECONDS)
    second = threading.Thread(target=use)
    second.start()
    # where one builds at a time, it waits for the first one
    second.join(TOGETHER_SECONDS)
    let_go.set()
    first.join(PATIENCE_SECONDS)
    second.join(PATIENCE_SECONDS)


def _use_slowly(use: Callable[[], Any], stopped: threading.Event, let_go: threading.Event) -> None:
    built = 0

    def trace(frame: FrameType, _event: str, _argument: Any) -> Any:
        nonlocal built
        if frame.f_code.co_name == BUILDING and frame.f_back is not None and not _looks(frame.f_back):
            built += 1
            if built == WITHIN:
                return stop
        return None

    def stop(_frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "return":
            stopped.set()
            let_go.wait(PATIENCE_SECONDS)
        return stop

    sys.settrace(trace)
    use()
    stopped.set()


def _looks(frame: FrameType) -> bool:
    """Whether msgspec.inspect asks for the same, when it has built the type."""
    return frame.f_code.co_name == f"_{BUILDING}"


if __name__ == "__main__":
    main()
