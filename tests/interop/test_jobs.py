"""A Symfony application asks for jobs and is told their results, through its own Messenger."""

from datetime import UTC, datetime
from typing import Any

from tests.support.symfony_application import SymfonyApplication
from tests.support.symfony_site import Site


def import_job(number: int, **fields: Any) -> dict[str, Any]:
    """The fields of a message that inserts one row for a customer."""
    return {
        "jobId": f"job-{number}",
        "partner": "acme",
        "customerId": number % 24,
        "submittedAt": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": [{"order_no": number, "note": "Zoë & Söhne <1>"}],
        **fields,
    }


def test_a_hundred_jobs_are_inserted_and_their_results_read_as_objects(
    site: Site, symfony: SymfonyApplication
) -> None:
    """Each once, with stamps and delays on the way there; the types are those of the class's constructor."""
    messages = [{"fields": import_job(number)} for number in range(90)]
    delayed = [{"fields": import_job(number), "delay": 1000} for number in range(90, 100)]
    symfony.produce(*messages, *delayed)
    worker = site.start_worker("--limit", "100")
    seen = symfony.consume("results", 100)

    assert worker.wait() == 0
    assert sorted(site.rows()) == [(number, str(number % 24)) for number in range(100)]
    assert {one.message_class for one in seen} == {r"App\Message\JobResult"}
    assert sorted(one.fields["jobId"] for one in seen) == sorted(f"job-{number}" for number in range(100))
    assert {one.fields["status"] for one in seen} == {"succeeded"}
    assert seen[0].types == {
        "jobId": "string",
        "run": "int",
        "type": "string",
        "partnerId": "string",
        "correlationId": "null",
        "dryRun": "bool",
        "status": "string",
        "customers": "array",
        "receivedAt": "DateTimeImmutable",
        "finishedAt": "DateTimeImmutable",
        "error": "null",
        "progress": "null",
        "waiting": "array",
    }
    assert all(one.handled for one in seen)
    assert [queue.depth() for queue in site.queues] == [(0, 0, 0)] * 3
