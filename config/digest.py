"""The digest of a part: what makes two deliveries of a job the same content."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final

from config.job import Job, PartRequest

ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def part_digest(job: Job, job_type: str, part: PartRequest) -> str:
    """SHA-256, as 64 hexadecimal digits, of what the job asks for one customer.

    It covers the type, the partner, all customers' ids in order, this customer's id, its payload and its
    attachments' names and hashes, as sorted-key, no-whitespace, ASCII-escaped JSON; and nothing else, so
    that a later run or another correlation id is the same content.
    """
    return part_digests(job, job_type, [part])[0]


def part_digests(job: Job, job_type: str, parts: Iterable[PartRequest]) -> list[str]:
    """The digests of several parts of a job, in their order.

    What the parts share, above all the list of thousands of customers, is encoded once.
    """
    shared = _encoded(
        f'"customers":{_json(job.customer_ids)},"partner_id":{_json(job.partner_id)},"payload":'
    )
    shared_payload = _encoded(_json(job.payload))
    tail = _encoded(f',"type":{_json(job_type)}}}')
    digests = []
    for part in parts:
        payload = shared_payload if part.payload is job.payload else _encoded(_json(part.payload))
        digests.append(hashlib.sha256(b"".join((_head(part), shared, payload, tail))).hexdigest())
    return digests


def _head(part: PartRequest) -> bytes:
    attachments = [
        {"name": attachment.name, "sha256": attachment.sha256.lower()}
        for attachment in sorted(part.attachments, key=lambda attachment: attachment.name)
    ]
    return _encoded(f'{{"attachments":{_json(attachments)},"customer_id":{_json(part.customer_id)},')


def _json(value: Any) -> str:
    return ENCODER.encode(value)


def _encoded(text: str) -> bytes:
    return text.encode("ascii")
