"""The demo's 500 messages: each kind, how many there are, and what has to become of them."""

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from config.job import BadMessage, read_object
from shards.sample import RowKey
from worker.demo import bad_jobs as bad
from worker.demo import good_jobs as good
from worker.demo.cast import CUSTOMERS, INITECH, INSERT_LINES, UNKNOWN_CUSTOMER, UNKNOWN_TYPE
from worker.demo.desk import Desk, Draft

Answer = Literal["succeeded", "partial", "failed", "rejected"]

FIRST: Final = 0.0
LAST: Final = 1.0


class Kind(NamedTuple):
    """A kind of message and its expectation.

    `answer` is the status of the job's result, None where nobody is to be answered. `code` is the error's,
    in the result; jobs that are rejected or not answered also stand on the failure queue, with it.
    Each of the `jobs` is sent `copies` times, at any places of the stream or, `at_once`, side by side;
    `at` is a place between 0, the stream's beginning, and 1, its end.
    """

    name: str
    jobs: int
    shape: bad.Shape
    answer: Answer | None
    code: str | None = None
    copies: int = 1
    at_once: bool = False
    at: float | None = None

    @property
    def dead_letter(self) -> bool:
        """Whether its messages end on the failure queue."""
        return self.answer in {None, "rejected"}


KINDS: Final = (
    # Good jobs.
    Kind("the first job", 1, good.one_customer, "succeeded", at=FIRST),
    Kind("rows for one customer", 150, good.one_customer, "succeeded"),
    Kind("rows for several customers", 40, good.several_customers, "succeeded"),
    Kind("rows for all customers", 8, good.all_customers, "succeeded"),
    Kind("a payload of its own for each customer", 20, good.own_payloads, "succeeded"),
    Kind("a CSV file", 36, good.csv_file, "succeeded"),
    Kind("a CSV file of hundreds of rows", 6, good.large_csv_file, "succeeded"),
    Kind("a JSON Lines file", 36, good.json_lines_file, "succeeded"),
    Kind("a file of its own for each customer", 12, good.own_files, "succeeded"),
    Kind("an order for the handler in Python", 24, good.imported_order, "succeeded"),
    # The same job several times: its rows must stand there once.
    Kind("rows, delivered 4 times", 6, good.several_customers, "succeeded", copies=4),
    Kind("a JSON Lines file, delivered 4 times", 6, good.json_lines_file, "succeeded", copies=4),
    Kind("a CSV file, delivered 5 times at once", 6, good.csv_file, "succeeded", copies=5, at_once=True),
    # Jobs that fail for one customer and succeed for the others.
    Kind("an order number taken", 10, good.taken_for_one, "partial", "unique_violation"),
    Kind("one of two files missing", 4, good.file_missing_for_one, "partial", "attachment_missing"),
    # Jobs that fail for every customer.
    Kind("the same order twice", 3, bad.order_twice, "failed", "unique_violation"),
    Kind("a text for a number", 3, bad.row_with(order_no="seven"), "failed", "invalid_rows"),
    Kind("an unknown column", 3, bad.row_with(colour="red"), "failed", "invalid_rows"),
    Kind("a missing column", 3, bad.row_without("ordered_on"), "failed", "invalid_rows"),
    Kind("a text for a number in a CSV file", 3, bad.bad_csv_value, "failed", "invalid_rows"),
    Kind("a file that is not in the bucket", 3, bad.file_missing, "failed", "attachment_missing"),
    Kind("a file with another SHA-256", 3, bad.file_changed, "failed", "attachment_mismatch"),
    Kind("refused by its handler", 4, bad.wrong_line_count, "failed", "line_count_differs"),
    # Jobs that are refused as a whole.
    Kind("a field is missing", 3, bad.order_without("customers"), "rejected", "bad_message"),
    Kind("a customer twice", 3, bad.order_with(customers=["c-1001"] * 2), "rejected", "duplicate_customer"),
    Kind("a type without a handler", 3, bad.order_with(type=UNKNOWN_TYPE), "rejected", "unknown_type"),
    Kind(
        "an unknown customer", 3, bad.order_with(customers=[UNKNOWN_CUSTOMER]), "rejected", "unknown_customer"
    ),
    Kind(
        "a customer that is not granted",
        3,
        bad.order_with(partner_id=INITECH.partner_id, customers=[CUSTOMERS[-1], CUSTOMERS[0]]),
        "rejected",
        "not_granted",
    ),
    Kind(
        "a type that is not granted",
        3,
        bad.order_with(partner_id=INITECH.partner_id, type=INSERT_LINES),
        "rejected",
        "not_granted",
    ),
    Kind("an unknown partner", 2, bad.order_with(partner_id="nobody"), "rejected", "not_granted"),
    Kind("another partner's file", 3, bad.file_of_another_partner, "rejected", "attachment_not_allowed"),
    Kind("a file in another bucket", 3, bad.file_in_foreign_bucket, "rejected", "attachment_not_allowed"),
    Kind("too late", 3, bad.order_with(expires_at="2026-01-01T00:00:00Z"), "rejected", "expired"),
    # Jobs that only ask what would happen.
    Kind("a dry run", 2, bad.order_with(dry_run=True), "succeeded"),
    Kind("a dry run with the same order twice", 1, bad.tried(bad.order_twice), "failed", "unique_violation"),
    # Messages that nobody can be answered for, or must not be.
    Kind("not JSON", 3, bad.body('{"job_id": "demo-'), None, "bad_message"),
    Kind("JSON, but no object", 2, bad.body('"demo"'), None, "bad_message"),
    Kind("a job id that is none", 3, bad.order_with(job_id="demo/1 ?"), None, "bad_message"),
    Kind("serialized by PHP", 3, bad.body(bad.PHP_BODY), None, "php_serialized"),
    Kind("a claim check for another bucket", 3, bad.body(bad.CLAIM_CHECK), None, "claim_check_failed"),
    Kind("too old", 3, bad.order_with(submitted_at="2020-01-01T00:00:00Z"), None, "too_old"),
    Kind("other content under the first job's id", 1, bad.other_content, None, "content_conflict", at=LAST),
)


class Sent(NamedTuple):
    """A message of the stream, with its expectation."""

    kind: Kind
    body: str
    rows: tuple[RowKey, ...]

    @property
    def answered_as(self) -> str | None:
        """The id of the job whose answer is this message's; None where it has to have none."""
        return None if self.kind.answer is None else job_id_of(self.body)

    @property
    def is_dry_run(self) -> bool:
        """Whether it is a job that only asks what would happen."""
        return self.kind.answer is not None and read_object(self.body).get("dry_run") is True


def make_stream(desk: Desk) -> list[Sent]:
    """All messages in the order in which they are sent."""
    placed = [entry for kind in KINDS for entry in _placed(kind, desk)]
    return [sent for _, sent in sorted(placed, key=lambda entry: entry[0])]


def job_id_of(body: str) -> str | None:
    """The job id in a body; None where there is none to be read."""
    try:
        job_id = read_object(body).get("job_id")
    except BadMessage:
        return None
    return job_id if isinstance(job_id, str) else None


def _placed(kind: Kind, desk: Desk) -> Iterator[tuple[float, Sent]]:
    for _ in range(kind.jobs):
        made: Draft = kind.shape(desk)
        place = desk.random.random()
        for _ in range(kind.copies):
            yield place if kind.at is None else kind.at, Sent(kind, made.body, made.rows)
            place = place if kind.at_once else desk.random.random()
