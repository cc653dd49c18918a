"""What Symfony retried or gave up is taken over here, and what failed here is retried on Symfony's side."""

from tests.e2e.test_failed_queue import lines
from tests.interop.test_jobs import import_job
from tests.support.symfony_application import SymfonyApplication
from tests.support.symfony_site import SYMFONY, MakeSite, Site
from tests.support.world import wait_until
from worker.transports.base import Message

STAMPED = SYMFONY.replace("orders.insert", "orders.stamped")
FAILURE_STAMPS = SYMFONY.replace(
    "[symfony]\n", '[symfony]\nfailure_stamps = true\nbus = "messenger.bus.default"\n'
)
NOWHERE = 99


def test_a_message_that_symfony_retried_is_taken_over(
    make_site: MakeSite, symfony: SymfonyApplication
) -> None:
    """Its handler failed twice there; ours knows that, and inserts it once."""
    site = make_site(STAMPED)
    symfony.produce({"fields": import_job(1)})
    symfony.consume("requests", 2, FAIL="as it was told")
    assert site.start_worker("--limit", "1").wait() == 0
    (result,) = symfony.consume("results", 1)

    assert result.fields["customers"][0]["result"] == {"retries": 2, "bus": "messenger.bus.default"}
    assert site.rows() == [(1, "1")]
    assert [queue.depth() for queue in site.queues] == [(0, 0, 0)] * 3


def test_a_message_that_symfony_sent_again_but_did_not_delete_is_done_once(
    site: Site, symfony: SymfonyApplication
) -> None:
    """Its retry is a new message of other headers: where its worker dies in between, both are there."""
    symfony.produce({"fields": import_job(1)})
    (original,) = site.request.browse(1)
    symfony.consume("requests", 1, FAIL="as it was told")
    site.request.send([Message(original.body, original.attributes)])
    assert site.start_worker("--limit", "2").wait() == 0

    assert {result["status"] for result in site.results()} == {"succeeded"}
    assert site.rows() == [(1, "1")]
    assert site.failure.depth() == (0, 0, 0)


def test_a_message_on_symfonys_failure_transport_is_shown_and_retried(
    site: Site, symfony: SymfonyApplication
) -> None:
    """Symfony gave it up after two retries; it is listed with what Symfony says of it, and inserted once."""
    symfony.produce({"fields": import_job(1)})
    symfony.consume("requests", 3, FAIL="as it was told")
    (listed,) = lines(site, "failed", "list", "--json")
    (sent,) = lines(site, "failed", "retry", listed["id"], "--json")
    assert site.start_worker("--limit", "1").wait() == 0
    (result,) = symfony.consume("results", 1)

    assert (listed["job_id"], listed["partner_id"], listed["type"]) == ("job-1", "acme", "orders.insert")
    assert (listed["code"], listed["reason"]) == ("DomainException", "as it was told")
    assert (listed["receiver"], listed["retry_count"]) == ("requests", 2)
    assert sent["queue"] == "requests"
    assert (result.fields["run"], result.fields["status"]) == (1, "succeeded")
    assert site.rows() == [(1, "1")]
    assert [queue.depth() for queue in site.queues] == [(0, 0, 0)] * 3


def test_a_dead_letter_is_handled_on_symfonys_side(make_site: MakeSite, symfony: SymfonyApplication) -> None:
    """As one of its own failure transport's: of its class, with where it failed and why."""
    site = make_site(FAILURE_STAMPS)
    job = import_job(1, customerId=NOWHERE)
    symfony.produce({"fields": job})
    assert site.start_worker("--limit", "1").wait() == 0
    (seen,) = symfony.consume("failed", 1)

    assert (seen.handled, seen.receiver, seen.message_class) == (True, "failed", r"App\Message\ImportJob")
    assert seen.fields == job
    assert seen.stamps["SentToFailureTransportStamp"] == [{"originalReceiverName": "requests"}]
    assert seen.stamps["ErrorDetailsStamp"][-1]["exceptionClass"] == "unknown_customer"
    assert seen.stamps["RedeliveryStamp"][-1]["retryCount"] == 0
    assert seen.stamps["BusNameStamp"] == [{"busName": "messenger.bus.default"}]
    assert site.failure.depth() == (0, 0, 0)


def test_a_dead_letter_that_fails_on_symfonys_side_too_comes_back(
    make_site: MakeSite, symfony: SymfonyApplication
) -> None:
    """Its worker puts it on the failure queue again; a retry here inserts it: its customer is known now."""
    site = make_site(FAILURE_STAMPS)
    symfony.produce({"fields": import_job(1, customerId=NOWHERE)})
    assert site.start_worker("--limit", "1").wait() == 0
    (rejected,) = symfony.consume("results", 1)
    symfony.consume("failed", 1, FAIL="as it was told")
    wait_until(lambda: site.failure.depth().waiting == 1, "the delay of Symfony's retry")
    site.place(NOWHERE)
    (sent,) = lines(site, "failed", "retry", "--all", "--yes", "--json")
    assert site.start_worker("--limit", "1").wait() == 0
    (result,) = symfony.consume("results", 1)

    assert rejected.fields["error"]["code"] == "unknown_customer"
    assert sent["queue"] == "requests"
    assert result.fields["status"] == "succeeded"
    assert site.rows() == [(1, str(NOWHERE))]
