"""The shapes of messages that must do nothing: jobs that fail or are refused, and what is no job at all."""

import json
from collections.abc import Callable
from typing import Any, Final

from worker.demo.cast import ACME, GLOBEX, IMPORT_ORDER, INSERT_LINES, INSERT_ORDERS
from worker.demo.desk import Desk, Draft, Fields, Row, csv_bytes, draft
from worker.demo.good_jobs import IMPORT_COLUMNS, LINES_CSV

Shape = Callable[[Desk], Draft]

POINTER: Final = "software.amazon.payloadoffloading.PayloadS3Pointer"
FOREIGN_BUCKET: Final = "somebody-elses-bucket"
PHP_BODY: Final = 'O:36:"Symfony\\\\Component\\\\Messenger\\\\Envelope":1:{s:7:"message";O:8:"stdClass":0:{}}'
CLAIM_CHECK: Final = json.dumps([POINTER, {"s3BucketName": FOREIGN_BUCKET, "s3Key": "acme/job.json"}])


def body(text: str) -> Shape:
    """A message with this body."""
    return lambda _: Draft(text)


def order_with(**fields: Any) -> Shape:
    """A job that would be good, but for these fields."""
    return lambda desk: draft({**_order(desk), **fields})


def order_without(field: str) -> Shape:
    """A job that would be good, but lacks this field."""
    return lambda desk: draft({name: value for name, value in _order(desk).items() if name != field})


def tried(shape: Shape) -> Shape:
    """The job of another shape as a dry run."""
    return lambda desk: draft({**json.loads(shape(desk).body), "dry_run": True})


def row_with(**columns: Any) -> Shape:
    """A job with two rows, of which the second has these columns beside its own, or in their place."""
    return lambda desk: _with_second_row(desk, {**desk.order(), **columns})


def row_without(column: str) -> Shape:
    """A job with two rows, of which the second lacks this column."""
    return lambda desk: _with_second_row(
        desk, {name: value for name, value in desk.order().items() if name != column}
    )


def order_twice(desk: Desk) -> Draft:
    """A job that inserts the same order twice."""
    row = desk.order()
    return _with_rows(desk, [row, row])


def bad_csv_value(desk: Desk) -> Draft:
    """A CSV attachment with a text where a number has to be."""
    job, lines = _lines(desk), desk.lines(20, 60)
    lines[-1]["quantity"] = "many"
    desk.attach(job, LINES_CSV, csv_bytes(lines))
    return draft(job)


def file_missing(desk: Desk) -> Draft:
    """An attachment that is not in the bucket."""
    job = _lines(desk)
    return draft({**job, "attachments": [desk.reference(job, LINES_CSV, b"never uploaded\n")]})


def file_changed(desk: Desk) -> Draft:
    """An attachment whose bytes are not those of the job's SHA-256."""
    job = _lines(desk)
    reference = desk.attach(job, LINES_CSV, csv_bytes(desk.lines(3, 9)))
    reference["sha256"] = "0" * 64
    return draft(job)


def file_of_another_partner(desk: Desk) -> Draft:
    """An attachment that lies under another partner's prefix."""
    job = _lines(desk)
    reference = desk.attach(job, LINES_CSV, csv_bytes(desk.lines(3, 9)))
    reference["key"] = reference["key"].replace(ACME.partner_id, GLOBEX.partner_id, 1)
    return draft(job)


def file_in_foreign_bucket(desk: Desk) -> Draft:
    """An attachment in a bucket that is not allowed."""
    job = _lines(desk)
    reference = desk.reference(job, LINES_CSV, b"")
    return draft({**job, "attachments": [{**reference, "bucket": FOREIGN_BUCKET}]})


def wrong_line_count(desk: Desk) -> Draft:
    """An order that its handler refuses: its attachment has a line less than it says."""
    lines = desk.lines(3, 9)
    payload = {"order_no": lines[0]["order_no"], "ordered_on": "2026-11-20", "line_count": len(lines) + 1}
    job = desk.job(IMPORT_ORDER, ACME, desk.customers_of(ACME, 1), payload=payload)
    desk.attach(job, LINES_CSV, csv_bytes(lines, IMPORT_COLUMNS))
    return draft(job)


def other_content(desk: Desk) -> Draft:
    """The first job's id and customers with other rows."""
    return draft({**desk.first_job, "payload": {"rows": desk.orders()}})


def _order(desk: Desk) -> Fields:
    customers = desk.customers_of(ACME, 1)
    return desk.job(INSERT_ORDERS, ACME, customers, payload={"rows": desk.orders()})


def _lines(desk: Desk) -> Fields:
    return desk.job(INSERT_LINES, ACME, desk.customers_of(ACME, 1))


def _with_second_row(desk: Desk, row: Row) -> Draft:
    return _with_rows(desk, [desk.order(), row])


def _with_rows(desk: Desk, rows: list[Row]) -> Draft:
    return draft(desk.job(INSERT_ORDERS, ACME, desk.customers_of(ACME, 2), payload={"rows": rows}))
