"""The desk where a soak's jobs are written: ids, customers, rows and files, all drawn from one generator."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final

from tests.soak.case import Case, Ending, Fields, Letter, PartEnding, RowKey
from tests.soak.cast import BUCKET, CUSTOMERS, HOMES, PARTNER

COLUMNS: Final = ("job_id", "number", "amount")
FILE: Final = "lines.csv"
MANY_CUSTOMERS: Final = 8

Row = dict[str, Any]


class Desk:
    """Writes one job; what it draws depends on nothing but `chance`."""

    def __init__(self, number: int, chance: Random) -> None:
        self.job_id = f"soak-{number:06}"
        self.chance = chance
        self._rows = 0

    def customers(self, minimum: int = 1) -> list[str]:
        """Some customers: mostly one or two, at times many."""
        most = MANY_CUSTOMERS if self.chance.random() < 0.08 else 2
        return self.chance.sample(CUSTOMERS, self.chance.randint(minimum, max(minimum, most)))

    def rows(self, maximum: int = 3) -> list[Row]:
        """Rows, each of which has a number that no other row of the job has."""
        return [self.row() for _ in range(self.chance.randint(1, maximum))]

    def row(self, **changes: Any) -> Row:
        """One row."""
        self._rows += 1
        return {"job_id": self.job_id, "number": self._rows, "amount": self.chance.randrange(1000), **changes}

    def fields(self, job_type: str, customers: Sequence[Any], **fields: Any) -> Fields:
        """The fields of the job."""
        identity = {"job_id": self.job_id, "type": job_type, "partner_id": PARTNER}
        return {**identity, "customers": list(customers), **fields}

    def csv(self, rows: Sequence[Row], name: str = FILE) -> tuple[Fields, dict[tuple[str, str], bytes]]:
        """A file of rows: how a job refers to it, and the object."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        return self.file(text.getvalue().encode(), name)

    def file(self, data: bytes, name: str = FILE) -> tuple[Fields, dict[tuple[str, str], bytes]]:
        """A file: how a job refers to it, and the object."""
        key = f"{PARTNER}/{self.job_id}/{name}"
        digest = hashlib.sha256(data).hexdigest()
        reference = {"name": name, "bucket": BUCKET, "key": key, "size": len(data), "sha256": digest}
        return reference, {(BUCKET, key): data}

    def keys(self, customer_id: str, rows: Sequence[Row]) -> set[RowKey]:
        """Where the rows have to stand when they are inserted for the customer."""
        home = HOMES[customer_id]
        return {RowKey(home, customer_id, self.job_id, row["number"]) for row in rows}

    def case(
        self, kind: str, body: str, ending: Ending, objects: Mapping[tuple[str, str], bytes] | None = None
    ) -> Case:
        """The case of this job's only content, sent once or, at times, more often."""
        copies = self.chance.choices((1, 2, 3), (85, 12, 3))[0]
        return Case(kind, self.job_id, (body,) * copies, (ending,), objects or {})

    def ending(self, rows_of: Mapping[str, Sequence[Row] | str], *letters: Letter) -> Ending:
        """The ending of a job whose customers, in its order, get these rows or fail with this code."""
        parts = tuple(
            PartEnding(customer, None, found) if isinstance(found, str) else PartEnding(customer, len(found))
            for customer, found in rows_of.items()
        )
        failed = sum(part.code is not None for part in parts)
        status = "succeeded" if not failed else "failed" if failed == len(parts) else "partial"
        keys = {
            key
            for customer, rows in rows_of.items()
            if not isinstance(rows, str)
            for key in self.keys(customer, rows)
        }
        return Ending(status, None, parts, frozenset(keys), frozenset(letters))


def rejected(code: str, body: str) -> Ending:
    """The ending of a job that is refused as a whole."""
    return Ending("rejected", code, letters=frozenset({Letter(body, code)}))


def text_of(fields: Fields) -> str:
    """The body of a message."""
    return json.dumps(fields)
