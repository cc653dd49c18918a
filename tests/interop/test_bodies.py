"""What Symfony and its neighbours put on a queue beside a plain message: PHP's own form, other attributes."""

from tests.e2e.test_failed_queue import lines
from tests.interop.test_jobs import import_job
from tests.support.symfony_application import SymfonyApplication
from tests.support.symfony_site import Site
from tests.support.world import MINUTE
from worker.transports.base import Attribute, Message

TRACE_ROOT = "1-5759e988-bd862e3fe1be46a994272793"
CONTROL = "\x01"
"""SQS takes no such character, so Symfony sends what PHP serialized in base64."""


def test_what_php_serialized_goes_to_the_failure_queue_with_advice(
    site: Site, symfony: SymfonyApplication
) -> None:
    """Symfony's default serializer: nothing of it is evaluated, and the reason names the one to configure."""
    messages = [
        {"fields": import_job(number, rows=[{"order_no": number, "note": note}])}
        for number, note in enumerate(["Zoë", CONTROL])
    ]
    symfony.produce(*messages, SERIALIZER="php")
    assert site.start_worker("--limit", "2").wait() == 0
    listed = lines(site, "failed", "list", "--json")

    assert [line["code"] for line in listed] == ["php_serialized"] * 2
    assert all("messenger.transport.symfony_serializer" in line["reason"] for line in listed)
    assert {"ImportJob" in letter.body for letter in site.dead_letters()} == {True, False}
    assert site.rows() == []


def test_attributes_of_others_beside_symfonys_change_nothing(site: Site, symfony: SymfonyApplication) -> None:
    """As a bridge between two queues adds them, of each kind that SQS has; the trace goes on."""
    symfony.produce({"fields": import_job(1), "trace": f"Root={TRACE_ROOT}"})
    (delivery,) = site.request.receive(1, wait=MINUTE * 0, lease=MINUTE)
    others = {
        "tenant": Attribute("String", "north"),
        "job_id": Attribute("String", "another"),
        "run": Attribute("Number", "7"),
        "Bytes": Attribute("Binary", b"\x00"),
        "kind": Attribute("String.custom", "x"),
    }
    attributes = {**delivery.attributes, **others}
    site.request.send([Message(delivery.body, attributes, trace_header=delivery.trace_header)])
    site.request.ack([delivery])
    worker = site.start_worker("--limit", "1")
    assert worker.wait() == 0
    (result,) = symfony.consume("results", 1)

    assert (result.fields["jobId"], result.fields["run"]) == ("job-1", 1)
    assert worker.events("job.done")[0]["trace_id"] == TRACE_ROOT.replace("-", "")[1:]
    assert site.rows() == [(1, "1")]
