"""Messages for Symfony's JSON serializer: results as objects of a class, dead letters with its stamps."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from config.headers import TYPE_HEADER, read_headers
from config.stamps import (
    BUS_NAME,
    DELAY,
    ERROR_DETAILS,
    REDELIVERY,
    SENT_TO_FAILURE_TRANSPORT,
    STAMP_PREFIX,
    Stamps,
)
from config.symfony import Symfony
from worker.symfony.header_map import fold
from worker.symfony.signatures import Signatures
from worker.symfony.signing import SIGNATURE_HEADER
from worker.transports.base import Attribute

CONTENT_TYPE: Final = {"Content-Type": "application/json"}


class Failure(NamedTuple):
    """What Symfony's side is told of a message that failed; `queue` is where it came from."""

    queue: str
    code: str
    message: str
    failed_at: datetime


class SymfonyWriter:
    """Writes for Symfony what `[symfony]` asks for; signed where its class is one that has to be."""

    def __init__(self, section: Symfony, signatures: Signatures) -> None:
        self._section = section
        self._signatures = signatures
        self._result_headers = _result_headers(section)

    def result(self, body: str) -> tuple[str, dict[str, Attribute]]:
        """The body of a result, its fields named as the class names them, and the attributes beside it."""
        names, headers = self._section.result_fields, self._result_headers
        renamed = rename_fields(body, names) if names else body
        return renamed, fold({**headers, **self._signatures.sign_if_asked(renamed, headers)})

    def failed(
        self, body: str, attributes: Mapping[str, Attribute], failure: Failure
    ) -> dict[str, Attribute] | None:
        """The attributes of a failed message with the stamps that Symfony's failure transport puts there.

        They stay as they are, None, where no stamps are asked for, and where a signature covers them that is
        none of ours: what nobody here can vouch for must not be signed anew.
        """
        if not self._section.failure_stamps:
            return None
        headers = headers_in(attributes)
        signed = SIGNATURE_HEADER in headers
        if signed and not self._signatures.are_right(body, headers):
            return None
        described = {**self._class_of(headers), **self._stamps(headers, failure).headers()}
        if signed:
            described |= self._signatures.sign(body, {**headers, **described})
        return {**attributes, **fold({**headers, **described})}

    def _class_of(self, headers: Mapping[str, str]) -> dict[str, str]:
        job_class = self._section.job_class
        return {} if TYPE_HEADER in headers or job_class is None else {TYPE_HEADER: job_class}

    def _stamps(self, headers: Mapping[str, str], failure: Failure) -> Stamps:
        error = {"exceptionClass": failure.code, "exceptionCode": 0, "exceptionMessage": failure.message}
        redelivered_at = failure.failed_at.isoformat(timespec="seconds")
        return (
            Stamps.read(headers)
            .adding(ERROR_DETAILS, {**error, "flattenException": None})
            .adding(
                SENT_TO_FAILURE_TRANSPORT,
                {"originalReceiverName": self._section.receiver_name or failure.queue},
            )
            .adding(DELAY, {"delay": 0})
            .adding(REDELIVERY, {"retryCount": 0, "redeliveredAt": redelivered_at})
        )


def rename_fields(body: str, names: Mapping[str, str]) -> str:
    """The JSON object with some of its fields renamed; every value stays as it is written.

    Raises:
        msgspec.DecodeError: the body is no JSON object.
    """
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return msgspec.json.encode({names.get(name, name): value for name, value in fields.items()}).decode()


def _result_headers(section: Symfony) -> dict[str, str]:
    if section.result_class is None:
        return {}
    headers = {TYPE_HEADER: section.result_class, **CONTENT_TYPE}
    if section.bus is None:
        return headers
    return {**headers, STAMP_PREFIX + BUS_NAME: json.dumps([{"busName": section.bus}], separators=(",", ":"))}


def headers_in(attributes: Mapping[str, Attribute]) -> dict[str, str]:
    """The headers that a reader finds in a message's attributes."""
    strings = {name: one.value for name, one in attributes.items() if one.data_type == "String"}
    return read_headers({name: value for name, value in strings.items() if isinstance(value, str)})
