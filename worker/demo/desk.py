"""The partners' desk: makes job ids, orders, lines and attachments, the same ones in every run."""

import csv
import hashlib
import io
import json
import random
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from shards.sample import RowKey
from worker.demo.cast import CUSTOMERS, PARTNERS, Partner

SEED: Final = 20261121
FIRST_ORDER_NO: Final = 100_001
ARTICLES: Final = ("bolt M6", "bolt M8", "washer 10 mm", "hinge, brass", "screw 4/40", "hook “L”", "ça, 1 m")
LINE_COLUMNS: Final = ("order_no", "line_no", "article", "quantity", "price_cents")

Fields = dict[str, Any]
Row = dict[str, Any]

EARLIER_ORDERS: Final = tuple(
    RowKey(customer, number) for number, customer in enumerate(CUSTOMERS, start=50_001)
)
"""One order of each customer that stands in its table before the demo: its number is taken."""


class Draft(NamedTuple):
    """A message's body, and the rows that stand in the customers' tables because of it."""

    body: str
    rows: tuple[RowKey, ...] = ()


class Desk:
    """Where jobs are written; `bucket` is the directory for their attachments.

    What it gives out is made of a fixed seed and of its own counts: it is the same in every run, and no
    order number is given twice.
    """

    def __init__(self, bucket: Path) -> None:
        self.random = random.Random(SEED)  # noqa: S311 - sample data, the same each time
        self.bucket_name = bucket.as_uri()
        self.first_job: Fields = {}
        self._bucket = bucket
        self._jobs = 0
        self._orders = FIRST_ORDER_NO

    def job(self, job_type: str, partner: Partner, customers: Sequence[Any], **fields: Any) -> Fields:
        """A job's fields, under an id of its own."""
        self._jobs += 1
        job = {
            "job_id": f"demo-{self._jobs:04}",
            "type": job_type,
            "partner_id": partner.partner_id,
            "customers": list(customers),
            **fields,
        }
        self.first_job = self.first_job or job
        return job

    def partner_for(self, job_type: str) -> Partner:
        """Any partner to which the job type is granted."""
        return self.random.choice([partner for partner in PARTNERS if job_type in partner.types])

    def customers_of(self, partner: Partner, count: int) -> list[str]:
        """So many customers that are granted to the partner."""
        return self.random.sample(partner.customers, count)

    def order(self) -> Row:
        """An order: a row for `orders`."""
        ordered_on = date(2026, 11, 1) + timedelta(days=self.random.randrange(20))
        return {"order_no": self._order_no(), "ordered_on": ordered_on.isoformat(), "note": "by post"}

    def orders(self, at_most: int = 6) -> list[Row]:
        """Some orders."""
        return [self.order() for _ in range(self.random.randint(1, at_most))]

    def lines(self, at_least: int, at_most: int) -> list[Row]:
        """An order's lines: rows for `order_lines`."""
        order_no, count = self._order_no(), self.random.randint(at_least, at_most)
        return [
            {
                "order_no": order_no,
                "line_no": line_no,
                "article": self.random.choice(ARTICLES),
                "quantity": self.random.randint(1, 99),
                "price_cents": self.random.randint(5, 99_999),
            }
            for line_no in range(1, count + 1)
        ]

    def attach(self, job: Fields, name: str, data: bytes) -> Fields:
        """Put the attachment into the bucket and its reference into the job; returns the reference."""
        reference = self.reference(job, name, data)
        path = self._bucket / reference["key"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        job.setdefault("attachments", []).append(reference)
        return reference

    def reference(self, job: Mapping[str, Any], name: str, data: bytes) -> Fields:
        """The reference to an attachment with this content, which is put nowhere."""
        return {
            "name": name,
            "bucket": self.bucket_name,
            "key": f"{job['partner_id']}/{job['job_id']}/{name}",
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "content_type": "text/csv" if name.endswith(".csv") else "application/x-ndjson",
        }

    def _order_no(self) -> int:
        self._orders += 1
        return self._orders - 1


def draft(job: Mapping[str, Any], rows: Sequence[RowKey] = ()) -> Draft:
    """The message of a job, and the rows that are to come of it."""
    return Draft(json.dumps(job), tuple(rows))


def keys_of(customers: Sequence[str], rows: Sequence[Row]) -> list[RowKey]:
    """The keys that the rows have once they stand in the tables of these customers."""
    return [
        RowKey(customer, row["order_no"], row.get("line_no", 0)) for customer in customers for row in rows
    ]


def csv_bytes(rows: Sequence[Row], columns: Sequence[str] = LINE_COLUMNS) -> bytes:
    """The rows as a CSV file with a header."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")


def json_lines_bytes(rows: Sequence[Row]) -> bytes:
    """The rows as JSON Lines."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode("utf-8")
