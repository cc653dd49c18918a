"""Jobs of a soak that fail, are refused or are no jobs; each with the ending that the documents promise."""

from collections.abc import Sequence
from typing import Any, Final

from tests.soak.case import Case, Ending, Fields, Letter
from tests.soak.cast import (
    BUCKET,
    CUSTOMERS,
    LINES,
    MAX_ATTEMPTS,
    NARROW_CUSTOMER,
    NARROW_PARTNER,
    ROWS,
    SCRIPT,
    SHARED_ROWS,
    UNCONFIGURED,
)
from tests.soak.desk import FILE, Desk, rejected, text_of

PHP_BODY: Final = 'O:36:"Symfony\\\\Component\\\\Messenger\\\\Envelope":1:{{s:2:"id";s:11:"{job_id}";}}'
LONG_AGO: Final = "2020-01-01T00:00:00Z"
FILE_ROWS: Final = 12


def bad_row(desk: Desk) -> Case:
    """One of several customers has a row with a value of a wrong type."""
    return _one_fails(desk, ROWS, {"amount": "many"}, "invalid_rows")


def refused_row(desk: Desk) -> Case:
    """One of several customers has a row that the table refuses."""
    # types of which more than a few in a hundred fail are not shared any more
    job_type = SHARED_ROWS if desk.chance.random() < 0.15 else ROWS
    return _one_fails(desk, job_type, {"amount": -1}, "check_violation")


def bad_file(desk: Desk) -> Case:
    """A file with a value of a wrong type in its last row."""
    customers = desk.customers()
    reference, objects = desk.csv([*desk.rows(FILE_ROWS), desk.row(amount="many")])
    body = text_of(desk.fields(LINES, customers, attachments=[reference]))
    return desk.case("bad file", body, desk.ending(dict.fromkeys(customers, "invalid_rows")), objects)


def missing_file(desk: Desk) -> Case:
    """A file that is not in its bucket."""
    customers = desk.customers()
    reference, _ = desk.csv(desk.rows())
    body = text_of(desk.fields(LINES, customers, attachments=[reference]))
    return desk.case("missing file", body, desk.ending(dict.fromkeys(customers, "attachment_missing")))


def changed_file(desk: Desk) -> Case:
    """A file whose bytes are not those that the job says."""
    customers = desk.customers()
    reference, objects = desk.csv(desk.rows())
    body = text_of(desk.fields(LINES, customers, attachments=[{**reference, "sha256": "0" * 64}]))
    ending = desk.ending(dict.fromkeys(customers, "attachment_mismatch"))
    return desk.case("changed file", body, ending, objects)


def foreign_file(desk: Desk) -> Case:
    """A file under another partner's prefix."""
    reference, _ = desk.csv(desk.rows())
    foreign = {**reference, "bucket": BUCKET, "key": f"{NARROW_PARTNER}/{FILE}"}
    return _rejected(
        desk,
        "foreign file",
        "attachment_not_allowed",
        desk.fields(LINES, desk.customers(), attachments=[foreign]),
    )


def refused(desk: Desk) -> Case:
    """A handler that refuses, after it has inserted."""
    return _scripted(desk, "refused", {"then": "refuse"}, "soak_refused")


def retried(desk: Desk) -> Case:
    """A handler that asks for another try and succeeds in time."""
    found, customers = desk.rows(), desk.customers()
    times = desk.chance.randint(1, MAX_ATTEMPTS - 1)
    payload = {"rows": found, "then": "retry", "times": times}
    body = text_of(desk.fields(SCRIPT, customers, payload=payload))
    return desk.case("retried", body, desk.ending(dict.fromkeys(customers, found)))


def tried_in_vain(desk: Desk) -> Case:
    """A handler that asks for another try for ever."""
    script = {"then": "retry", "times": 1_000_000}
    return _scripted(desk, "tried in vain", script, "retry_requested", buried=True)


def crashed(desk: Desk) -> Case:
    """A handler that raises what nobody expects."""
    return _scripted(desk, "crashed", {"then": "crash"}, "handler_error", buried=True)


def killer(desk: Desk) -> Case:
    """A handler that takes its process along, each time."""
    return _scripted(desk, "killer", {"then": "die"}, "worker_killed", buried=True, customers_maximum=1)


def expired(desk: Desk) -> Case:
    """A job that came too late."""
    return _rejected(desk, "expired", "expired", _plain(desk, expires_at=LONG_AGO))


def unknown_type(desk: Desk) -> Case:
    """A type without a handler."""
    return _rejected(desk, "unknown type", "unknown_type", _plain(desk, type=UNCONFIGURED))


def unknown_customer(desk: Desk) -> Case:
    """A customer who lives nowhere, beside others."""
    customers = [*desk.customers(), "c-nowhere"]
    return _rejected(desk, "unknown customer", "unknown_customer", _plain(desk, customers=customers))


def not_granted(desk: Desk) -> Case:
    """A customer whom the partner may not reach, beside one whom it may."""
    customers = [NARROW_CUSTOMER, desk.chance.choice(CUSTOMERS[1:])]
    fields = _plain(desk, partner_id=NARROW_PARTNER, customers=customers)
    return _rejected(desk, "not granted", "not_granted", fields)


def same_customer_twice(desk: Desk) -> Case:
    """The same customer in one job twice."""
    fields = _plain(desk, customers=[NARROW_CUSTOMER] * 2)
    return _rejected(desk, "same customer twice", "duplicate_customer", fields)


def malformed(desk: Desk) -> Case:
    """A job without customers: it can be answered, for it has an id."""
    return _rejected(desk, "malformed", "bad_message", _plain(desk, customers=[]))


def unreadable(desk: Desk) -> Case:
    """A message that is no JSON: nobody can be answered."""
    return _nobody("unreadable", f"{{{desk.job_id}", "bad_message")


def by_php(desk: Desk) -> Case:
    """A message that PHP has serialized."""
    return _nobody("by PHP", PHP_BODY.format(job_id=desk.job_id), "php_serialized")


def two_contents(desk: Desk) -> Case:
    """Two contents under one id, for one customer: the one that comes first wins, the other one is buried."""
    customer = desk.chance.choice(CUSTOMERS)
    contents = [desk.rows(), desk.rows()]
    bodies = [text_of(desk.fields(ROWS, [customer], payload={"rows": found})) for found in contents]
    endings = tuple(
        desk.ending({customer: found}, Letter(loser, "content_conflict"))
        for found, loser in zip(contents, reversed(bodies), strict=True)
    )
    copies = desk.chance.choices(bodies, k=desk.chance.randint(0, 2))
    return Case("two contents", desk.job_id, (*bodies, *copies), endings)


def _one_fails(desk: Desk, job_type: str, fault: Fields, code: str) -> Case:
    customers, found = desk.customers(2), desk.rows()
    unlucky = desk.chance.choice(customers)
    own = {"customer_id": unlucky, "payload": {"rows": [desk.row(), desk.row(**fault)]}}
    entries: list[Any] = [own if customer == unlucky else customer for customer in customers]
    rows_of = {customer: code if customer == unlucky else found for customer in customers}
    return desk.case(
        code, text_of(desk.fields(job_type, entries, payload={"rows": found})), desk.ending(rows_of)
    )


def _scripted(
    desk: Desk, kind: str, script: Fields, code: str, *, buried: bool = False, customers_maximum: int = 2
) -> Case:
    customers: Sequence[str] = desk.customers()[:customers_maximum]
    body = text_of(desk.fields(SCRIPT, customers, payload={"rows": desk.rows(), **script}))
    letters = [Letter(body, code)] if buried else []
    return desk.case(kind, body, desk.ending(dict.fromkeys(customers, code), *letters))


def _plain(desk: Desk, **changes: Any) -> Fields:
    return {**desk.fields(ROWS, desk.customers(), payload={"rows": desk.rows()}), **changes}


def _rejected(desk: Desk, kind: str, code: str, fields: Fields) -> Case:
    body = text_of(fields)
    return desk.case(kind, body, rejected(code, body))


def _nobody(kind: str, body: str, code: str) -> Case:
    return Case(kind, None, (body,), (Ending(None, letters=frozenset({Letter(body, code)})),))
