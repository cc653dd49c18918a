"""Jobs and conclusions for the tests of the intake."""

import hashlib
import json
from typing import Any

from tests.support.core import Site
from tests.support.jobs import job_fields
from worker.conclusion import Answer, Conclusion


def attachment(
    site: Site, name: str = "lines.csv", content: bytes = b"a,b\n", **fields: Any
) -> dict[str, Any]:
    """An attachment that lies in the site's bucket."""
    path = site.bucket / "acme" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return {
        "name": name,
        "bucket": f"file://{site.bucket}",
        "key": f"acme/{name}",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        **fields,
    }


def three_customers(**fields: Any) -> dict[str, Any]:
    entries = [{"customer_id": f"c-{number}", "payload": {"order_no": number}} for number in (1, 2, 3)]
    return job_fields(customers=entries, **fields)


def rejection(site: Site, **fields: Any) -> tuple[str, str, str]:
    """Status, error code of the result, and code of the dead letter."""
    return rejection_of(site.conclude(job_fields(**fields)))


def rejection_of(conclusion: Conclusion) -> tuple[str, str, str]:
    """The same of a conclusion that is there."""
    assert isinstance(conclusion, Answer)
    assert conclusion.dead_letter is not None
    return conclusion.status, json.loads(conclusion.body)["error"]["code"], conclusion.dead_letter.code
