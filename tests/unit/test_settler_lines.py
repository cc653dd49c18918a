"""The settler's log: one canonical line for each delivery, with all that is known of it."""

from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.support.jobs import held_of
from tests.support.settling import REASON, Office, answer
from worker.conclusion import Answer, Bury, Conclusion, Discard, Reason, Return
from worker.events import unknown_fields
from worker.facts import Facts
from worker.held import charge


@pytest.mark.parametrize(
    ("conclusion", "event", "outcome", "code", "attempt"),
    [
        (answer(), "job.done", "succeeded", None, 0),
        (answer(REASON), "job.dead_lettered", "failed", "schema_defect", 5),
        (Answer("partial", "{}", None, "invalid_rows"), "job.done", "partial", "invalid_rows", 0),
        (Bury(Reason("too_old", "Old.")), "job.dead_lettered", "unanswered", "too_old", 0),
        (Discard("superseded"), "job.done", "discarded", "superseded", 0),
        (Return(timedelta(seconds=1.5), "busy", 2), "job.released", "released", "busy", 2),
    ],
)
def test_each_delivery_has_one_canonical_line(
    conclusion: Conclusion, event: str, outcome: str, code: str | None, attempt: int
) -> None:
    """With all that is known of it, and no field that is not on the list."""
    office = Office()
    office.settle(conclusion, copies=2)
    office.time.pass_time(0.25)
    with capture_logs() as lines:
        office.run()

    assert [line["event"] for line in lines] == [event, event]
    for line in lines:
        fields = frozenset(line) - {"log_level", "event"}
        assert unknown_fields(event, fields) == set()
        assert (line["outcome"], line["error_code"], line["attempt"]) == (outcome, code, attempt)
        assert (line["job"], line["run"], line["partner"], line["type"]) == (
            "job-1",
            1,
            "acme",
            "orders.insert",
        )
        assert (line["customers"], line["receive_count"], line["total_ms"]) == (1, 1, 250.0)
        assert line.get("delay_ms") == (1500 if event == "job.released" else None)
    assert {line["queue"] for line in lines} == {"requests", "more-requests"}


def test_an_unreadable_message_has_its_line_too() -> None:
    """Nothing is known of it but its delivery."""
    office = Office()
    held = office.take("no json", office.requests[0])
    office.settler.settle([held], Bury(Reason("bad_message", "No JSON.")), Facts())
    with capture_logs() as lines:
        office.run()

    (line,) = lines
    assert line["event"] == "job.dead_lettered"
    assert "job" not in line
    assert unknown_fields(line["event"], frozenset(line) - {"log_level"}) == set()


def test_a_delivery_pays_its_share_of_each_request() -> None:
    """Ten results in one request and ten acks in another are a tenth of each; one alone pays for both."""
    office = Office()
    for _ in range(10):
        office.settle(answer())
    with capture_logs() as together:
        office.run()
    office.settle(answer())
    with capture_logs() as alone:
        office.run()

    assert [line["sqs_requests"] for line in together] == [0.2] * 10
    assert [line["sqs_requests"] for line in alone] == [2.0]


@pytest.mark.parametrize(("count", "share"), [(1, 1.0), (4, 0.25), (10, 0.1), (11, 2 / 11), (25, 0.12)])
def test_a_batch_takes_a_request_for_each_ten(count: int, share: float) -> None:
    """However many there are, the shares are as many as the requests."""
    held = [held_of("{}") for _ in range(count)]
    charge(held)

    assert [one.sqs_requests for one in held] == [pytest.approx(share)] * count
    charge([])


def test_what_is_read_from_buckets_stands_on_the_line() -> None:
    """As the intake counted it."""
    office = Office()
    held = office.take("{}", office.requests[0])
    held.s3_requests = 3
    office.settler.settle([held], Discard("superseded"), Facts())
    with capture_logs() as lines:
        office.run()

    assert [line["s3_requests"] for line in lines] == [3]
