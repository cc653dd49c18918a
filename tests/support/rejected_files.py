"""A world's job whose attachment has rows that are left out, and the files that come of them."""

import hashlib
from typing import Any, NamedTuple

from tests.support.world import World, job

IMPORT = """
[[handlers.insert]]
type = "orders.import"
table = "orders"
source = "attachments"
customer_column = "customer_id"
on_bad_row = "skip"
"""


class Attachment(NamedTuple):
    """A file of rows, and what of it is rejected."""

    content: bytes
    rejected: bytes


MIXED = Attachment(
    b"order_no,note\r\n1,one\r\nx,no number\r\n2,two\r\n1,twice\r\n",
    b"order_no,note\r\nx,no number\r\n1,twice\r\n",
)


def reference(bucket: str) -> dict[str, Any]:
    """The job's entry for it."""
    return {
        "name": "lines.csv",
        "bucket": bucket,
        "key": "acme/lines.csv",
        "size": len(MIXED.content),
        "sha256": hashlib.sha256(MIXED.content).hexdigest(),
    }


def import_job(world: World, job_id: str) -> dict[str, Any]:
    """The job, and its attachment in the world's own bucket."""
    folder = world.directory / "bucket" / "acme"
    folder.mkdir(exist_ok=True)
    (folder / "lines.csv").write_bytes(MIXED.content)
    bucket = f"file://{world.directory}/bucket"
    return job(job_id, ["c-0"], type="orders.import", attachments=[reference(bucket)])


def put_beside(world: World) -> dict[str, bytes]:
    """What lies beside it, by name."""
    folder = world.directory / "bucket" / "acme" / "lines.csv.results"
    return {path.name: path.read_bytes() for path in folder.glob("*")}
