"""What middleware is told of a part, and what Symfony has as middleware and is always there."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from config.stamps import NO_STAMPS, REDELIVERY
from handlers import Next, Outcome, PartEnvelope, Reject
from tests.support.core import Site
from tests.support.executing import code_of, part_of, run
from tests.support.jobs import inbox_rows, job_fields, orders
from worker.transports.base import Attribute

pytestmark = pytest.mark.usefixtures("quiet")

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class TestTheEnvelope:
    def test_it_tells_what_symfony_s_would(self, tmp_path: Path) -> None:
        """Job, type, run, customer and place; the queue, how often it came, the stamps, the trace."""
        seen: list[PartEnvelope] = []

        def look(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
            seen.append(envelope)
            return next(envelope)

        stamps = NO_STAMPS.adding(REDELIVERY, {"retryCount": 2})
        attributes = {
            "X-Symfony-Messenger": Attribute("String", json.dumps(stamps.headers())),
            "traceparent": Attribute("String", TRACEPARENT),
        }
        site = Site(tmp_path, [look])
        site.take(job_fields(run=3), receive_count=4, attributes=attributes)
        site.run()
        (envelope,) = seen

        assert (envelope.job.job_id, envelope.job_type, envelope.run) == ("job-1", "orders.insert", 3)
        assert (envelope.customer_id, envelope.placement) == ("c-1", site.directory.placements["c-1"])
        assert (envelope.queue, envelope.receive_count) == ("requests", 4)
        assert (envelope.stamps, envelope.retry_count) == (stamps, 2)
        assert envelope.traceparent == TRACEPARENT

    def test_a_link_may_give_another_envelope_to_the_links_behind(self, tmp_path: Path) -> None:
        """As Symfony's `with`; what is run is the part all the same."""
        seen: list[str] = []

        def change(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
            return next(replace(envelope, customer_id="c-3", queue="elsewhere"))

        def look(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
            seen.append(envelope.queue)
            return next(envelope)

        run(Site(tmp_path, [change, look]))

        assert (seen, orders(tmp_path)) == (["elsewhere"], [1])


class TestWhatIsBuiltIn:
    def test_validation_comes_before_the_transaction(self, tmp_path: Path) -> None:
        """Symfony's `validation`: a payload that its handler's model refuses opens none."""
        site = Site(tmp_path)
        part = part_of(site)
        refusal = Reject("invalid_payload", "The payload does not fit the model.")
        part.owner.handler = replace(part.owner.handler, decode=refusing(refusal))  # type: ignore[type-var]
        opened: list[str] = []
        event.listen(site.shards.get("eu1").engine, "begin", lambda _: opened.append("begin"))
        seen: list[int] = []

        def look(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
            try:
                return next(envelope)
            finally:
                seen.append(len(opened))

        site.executor._middleware = [look]

        assert code_of(site.executor.run(part)) == "invalid_payload"
        assert (seen, opened) == ([0], ["begin"])  # the one that records the failure

    def test_the_transaction_is_inside_all_links(self, tmp_path: Path) -> None:
        """Symfony's `doctrine_transaction`: what a link does before and after is not in it."""
        rows: list[int] = []

        def look(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
            rows.append(len(inbox_rows(tmp_path)))
            outcome = next(envelope)
            rows.append(len(inbox_rows(tmp_path)))
            return outcome

        run(Site(tmp_path, [look, look]))

        assert rows == [0, 0, 1, 1]

    def test_deduplication_is_by_the_job_s_id(self, site: Site) -> None:
        """Symfony's `deduplicate`: a second message with the same id does nothing, and is answered too."""
        first = site.conclude(message_id="message-1")
        second = site.conclude(message_id="message-2")

        assert first == second
        assert orders(site.path) == [1]


def refusing(refusal: Reject) -> Callable[[Any], Any]:
    def decode(_: Any) -> Any:
        raise refusal

    return decode
