"""A Symfony application and FIFO queues: its default group and deduplication id, and those of its stamps."""

import json

from tests.interop.test_jobs import import_job
from tests.support.sqs_queue import StoredMessage
from tests.support.sqs_server import SqsServer
from tests.support.symfony_application import SymfonyApplication
from tests.support.symfony_site import MakeSite
from worker.symfony.fifo import DEFAULT_GROUP, default_deduplication_id
from worker.transports.base import Attribute

FIFO = {"SUFFIX": ".fifo"}


def test_its_jobs_run_in_the_order_of_their_groups_and_our_ids_are_its_own(
    server: SqsServer, make_site: MakeSite, symfony: SymfonyApplication
) -> None:
    """Eight in its default group, eight in those of stamps; one that is sent twice is one. PHP reads on."""
    site = make_site(suffix=".fifo")
    plain = [{"fields": import_job(number)} for number in range(8)]
    stamped = [
        {"fields": import_job(number), "group": f"group-{number % 2}", "id": f"id-{number}"}
        for number in range(8, 16)
    ]
    symfony.produce(*plain, plain[3], *stamped, stamped[5], **FIFO)
    sent = list(server.service.queues["requests.fifo"].messages.values())
    by_default = [message for message in sent if message.group == DEFAULT_GROUP]

    assert [message.deduplication_id for message in by_default] == [our_id(message) for message in by_default]
    assert len(by_default) == 8
    assert len(sent) == 16

    worker = site.start_worker("--limit", "16")
    assert worker.wait() == 0
    answers = [json.loads(one.body) for one in server.service.queues["responses.fifo"].messages.values()]
    numbers = [int(answer["jobId"].removeprefix("job-")) for answer in answers]
    groups = ([number for number in numbers if number in group] for group in GROUPS)
    assert list(groups) == [list(group) for group in GROUPS]
    assert {answer["status"] for answer in answers} == {"succeeded"}

    seen = symfony.consume("results", 16, **FIFO)
    assert sorted(one.fields["jobId"] for one in seen) == sorted(f"job-{number}" for number in range(16))


GROUPS = (range(8), range(8, 16, 2), range(9, 16, 2))


def our_id(message: StoredMessage) -> str:
    """The id that we would give the message."""
    attributes = {
        name: Attribute(value["DataType"], value["StringValue"]) for name, value in message.attributes.items()
    }
    return default_deduplication_id(message.body, attributes)
