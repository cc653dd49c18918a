"""The digest of a part: what makes two deliveries of a job the same content."""

import hashlib
import json

from config.job import Job, PartRequest


def part_digest(job: Job, job_type: str, part: PartRequest) -> str:
    """SHA-256, as 64 hexadecimal digits, of what the job asks for one customer.

    It covers the type, the partner, all customers' ids in order, this customer's id, its payload and its
    attachments' names and hashes, as sorted-key, no-whitespace, ASCII-escaped JSON; and nothing else, so
    that a later run or another correlation id is the same content.
    """
    content = {
        "type": job_type,
        "partner_id": job.partner_id,
        "customers": job.customer_ids,
        "customer_id": part.customer_id,
        "payload": part.payload,
        "attachments": [
            {"name": attachment.name, "sha256": attachment.sha256.lower()}
            for attachment in sorted(part.attachments, key=lambda attachment: attachment.name)
        ],
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
