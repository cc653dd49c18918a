"""Reads a message whose properties cannot be read as one without: else none behind it would ever come."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from amqp.basic_message import Message
from amqp.exceptions import FrameSyntaxError
from amqp.method_framing import frame_handler

Frame = tuple[int, int, bytes]

HEADER: Final = 2
PROPERTIES_AT: Final = 12
"""Before them stand class, weight and the size of the body."""

NO_PROPERTIES: Final = b"\0\0"
UNREADABLE: Final = (ValueError, ArithmeticError, LookupError, OSError, RecursionError, FrameSyntaxError)
"""What py-amqp raises: of a moment after the year 9999, bytes that are no UTF-8, a type it does not know."""


def tolerant_frames(connection: Any, callback: Callable[..., None]) -> Callable[[Frame], bool]:
    """What py-amqp's own handler of frames does, where that can read them.

    Senders in other languages write times in milliseconds and names in Latin-1. What RabbitMQ adds to such a
    message, how often it was delivered, cannot be read either: it tells just whether it was.
    """
    handle = frame_handler(connection, callback)

    def on_frame(frame: Frame) -> bool:
        try:
            return bool(handle(frame))
        except UNREADABLE:
            kind, channel, payload = frame
            if kind != HEADER or _is_readable(payload):
                raise
            return bool(handle((kind, channel, payload[:PROPERTIES_AT] + NO_PROPERTIES)))

    return on_frame


def _is_readable(payload: bytes) -> bool:
    with suppress(*UNREADABLE):
        Message().inbound_header(payload)
        return True
    return False
