"""Jobs of a soak that succeed, and dry runs; each with the ending that the documents promise."""

import json
from dataclasses import replace
from typing import Final

from tests.soak.case import Case, Ending, PartEnding
from tests.soak.cast import BODIES, LINES, ROWS, SCRIPT, SHARED_ROWS
from tests.soak.desk import Desk, text_of

POINTER: Final = "software.amazon.payloadoffloading.PayloadS3Pointer"
FILE_ROWS: Final = 12


def rows(desk: Desk) -> Case:
    """Rows in the payload, the same for each customer."""
    return _rows(desk, ROWS)


def shared_rows(desk: Desk) -> Case:
    """The same, of a type whose parts may share transactions."""
    return _rows(desk, SHARED_ROWS)


def own_payloads(desk: Desk) -> Case:
    """A payload of its own for each customer: nobody gets another one's rows."""
    rows_of = {customer: desk.rows() for customer in desk.customers(2)}
    entries = [{"customer_id": customer, "payload": {"rows": own}} for customer, own in rows_of.items()]
    job_type = desk.chance.choice((ROWS, SHARED_ROWS, SCRIPT))
    return desk.case("own payloads", text_of(desk.fields(job_type, entries)), desk.ending(rows_of))


def lines(desk: Desk) -> Case:
    """Rows in a CSV file."""
    found, customers = desk.rows(FILE_ROWS), desk.customers()
    reference, objects = desk.csv(found)
    body = text_of(desk.fields(LINES, customers, attachments=[reference]))
    return desk.case("lines", body, desk.ending(dict.fromkeys(customers, found)), objects)


def own_files(desk: Desk) -> Case:
    """A file of its own for each customer."""
    rows_of = {customer: desk.rows(FILE_ROWS) for customer in desk.customers(2)}
    files = {customer: desk.csv(own, f"{customer}.csv") for customer, own in rows_of.items()}
    entries = [{"customer_id": customer, "attachments": [f"{customer}.csv"]} for customer in rows_of]
    references = [reference for reference, _ in files.values()]
    objects = {key: data for _, stored in files.values() for key, data in stored.items()}
    body = text_of(desk.fields(LINES, entries, attachments=references))
    return desk.case("own files", body, desk.ending(rows_of), objects)


def script(desk: Desk) -> Case:
    """Rows that a handler in Python inserts."""
    return _rows(desk, SCRIPT)


def claim_check(desk: Desk) -> Case:
    """A message that is a reference to the job in a bucket."""
    found, customers = desk.rows(), desk.customers()
    body = text_of(desk.fields(ROWS, customers, payload={"rows": found}))
    key = f"{desk.job_id}.json"
    pointer = json.dumps([POINTER, {"s3BucketName": BODIES, "s3Key": key}])
    ending = desk.ending(dict.fromkeys(customers, found))
    return desk.case("claim check", pointer, ending, {(BODIES, key): body.encode()})


def dry_run(desk: Desk) -> Case:
    """A dry run of rows that could be inserted: they are told of, and nothing stays."""
    found, customers = desk.rows(), desk.customers()
    job_type = desk.chance.choice((ROWS, SHARED_ROWS, SCRIPT))
    body = text_of(desk.fields(job_type, customers, payload={"rows": found}, dry_run=True))
    return _dry(desk, "dry run", body, desk.ending(dict.fromkeys(customers, found)))


def dry_run_in_vain(desk: Desk) -> Case:
    """A dry run of a row that the table refuses."""
    customers = desk.customers()
    rows_ = [*desk.rows(), desk.row(amount=-1)]
    body = text_of(desk.fields(ROWS, customers, payload={"rows": rows_}, dry_run=True))
    return _dry(desk, "dry run in vain", body, desk.ending(dict.fromkeys(customers, "check_violation")))


def _rows(desk: Desk, job_type: str) -> Case:
    found, customers = desk.rows(), desk.customers()
    body = text_of(desk.fields(job_type, customers, payload={"rows": found}))
    return desk.case(job_type, body, desk.ending(dict.fromkeys(customers, found)))


def _dry(desk: Desk, kind: str, body: str, ending: Ending) -> Case:
    """Leases that run out count as deaths of a dry run: it may be given up without any being to blame."""
    parts = tuple(PartEnding(part.customer_id, None, "worker_killed") for part in ending.parts)
    expected = replace(ending, rows=frozenset(), is_dry=True)
    given_up = replace(expected, status="failed", parts=parts)
    return replace(desk.case(kind, body, expected), endings=(expected, given_up))
