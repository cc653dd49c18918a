"""The shapes of jobs that succeed, wholly or for some of their customers."""

from typing import Final

from shards.sample import RowKey
from worker.demo.cast import ACME, CUSTOMERS, IMPORT_ORDER, INSERT_LINES, INSERT_ORDERS, Partner
from worker.demo.desk import EARLIER_ORDERS, Desk, Draft, csv_bytes, draft, json_lines_bytes, keys_of

LINES_CSV: Final = "lines.csv"
LINES_JSON: Final = "lines.jsonl"
IMPORT_COLUMNS: Final = ("line_no", "article", "quantity", "price_cents")


def one_customer(desk: Desk) -> Draft:
    """A few rows in the payload, for one customer."""
    return _inline(desk, desk.partner_for(INSERT_ORDERS), 1)


def several_customers(desk: Desk) -> Draft:
    """The same rows for some customers."""
    return _inline(desk, desk.partner_for(INSERT_ORDERS), desk.random.randint(2, 5))


def all_customers(desk: Desk) -> Draft:
    """The same rows for every customer on every shard."""
    return _inline(desk, ACME, len(CUSTOMERS))


def own_payloads(desk: Desk) -> Draft:
    """Other rows for each of some customers."""
    partner = desk.partner_for(INSERT_ORDERS)
    rows = {customer: desk.orders() for customer in desk.customers_of(partner, desk.random.randint(2, 6))}
    entries = [{"customer_id": customer, "payload": {"rows": orders}} for customer, orders in rows.items()]
    keys = [key for customer, orders in rows.items() for key in keys_of([customer], orders)]
    return draft(desk.job(INSERT_ORDERS, partner, entries), keys)


def csv_file(desk: Desk) -> Draft:
    """A CSV attachment for one customer."""
    return _attached(desk, LINES_CSV, 1, 10, 60)


def large_csv_file(desk: Desk) -> Draft:
    """A CSV attachment of some hundred rows for three customers."""
    return _attached(desk, LINES_CSV, 3, 300, 900)


def json_lines_file(desk: Desk) -> Draft:
    """A JSON Lines attachment for two customers."""
    return _attached(desk, LINES_JSON, 2, 5, 30)


def own_files(desk: Desk) -> Draft:
    """Two customers, each with an attachment of its own: one CSV, the other JSON Lines."""
    partner = desk.partner_for(INSERT_LINES)
    first, second = desk.customers_of(partner, 2)
    entries = [
        {"customer_id": first, "attachments": [LINES_CSV]},
        {"customer_id": second, "attachments": [LINES_JSON]},
    ]
    job = desk.job(INSERT_LINES, partner, entries)
    in_csv, in_json = desk.lines(5, 40), desk.lines(5, 40)
    desk.attach(job, LINES_CSV, csv_bytes(in_csv))
    desk.attach(job, LINES_JSON, json_lines_bytes(in_json))
    return draft(job, keys_of([first], in_csv) + keys_of([second], in_json))


def imported_order(desk: Desk) -> Draft:
    """An order with its lines in a CSV attachment, for the handler in Python."""
    order, lines = desk.order()["order_no"], desk.lines(3, 40)
    payload = {"order_no": order, "ordered_on": "2026-11-20", "line_count": len(lines)}
    customers = desk.customers_of(ACME, 1)
    job = desk.job(IMPORT_ORDER, ACME, customers, payload=payload)
    desk.attach(job, LINES_CSV, csv_bytes(lines, IMPORT_COLUMNS))
    line_keys = [RowKey(customers[0], order, line["line_no"]) for line in lines]
    return draft(job, [RowKey(customers[0], order), *line_keys])


def taken_for_one(desk: Desk) -> Draft:
    """Three customers with rows of their own, of which one brings an order number that it has already."""
    taken = desk.random.choice(EARLIER_ORDERS)
    others = desk.random.sample([customer for customer in CUSTOMERS if customer != taken.customer_id], 2)
    rows = {customer: desk.orders() for customer in others}
    again = {**desk.order(), "order_no": taken.order_no}
    entries = [
        {"customer_id": customer, "payload": {"rows": orders}}
        for customer, orders in [*rows.items(), (taken.customer_id, [desk.order(), again])]
    ]
    keys = [key for customer, orders in rows.items() for key in keys_of([customer], orders)]
    return draft(desk.job(INSERT_ORDERS, ACME, entries), keys)


def file_missing_for_one(desk: Desk) -> Draft:
    """Two customers, each with an attachment of its own, of which one is not in the bucket."""
    there, bereft = desk.customers_of(ACME, 2)
    entries = [
        {"customer_id": there, "attachments": [LINES_CSV]},
        {"customer_id": bereft, "attachments": [LINES_JSON]},
    ]
    job, lines = desk.job(INSERT_LINES, ACME, entries), desk.lines(5, 20)
    desk.attach(job, LINES_CSV, csv_bytes(lines))
    job["attachments"].append(desk.reference(job, LINES_JSON, b"never uploaded\n"))
    return draft(job, keys_of([there], lines))


def _inline(desk: Desk, partner: Partner, customer_count: int) -> Draft:
    customers, rows = desk.customers_of(partner, customer_count), desk.orders()
    job = desk.job(INSERT_ORDERS, partner, customers, payload={"rows": rows})
    return draft(job, keys_of(customers, rows))


def _attached(desk: Desk, name: str, customer_count: int, at_least: int, at_most: int) -> Draft:
    partner = desk.partner_for(INSERT_LINES)
    customers, lines = desk.customers_of(partner, customer_count), desk.lines(at_least, at_most)
    job = desk.job(INSERT_LINES, partner, customers)
    desk.attach(job, name, csv_bytes(lines) if name == LINES_CSV else json_lines_bytes(lines))
    return draft(job, keys_of(customers, lines))
