"""What only the shard and the inbox can say of a part stands, whatever a link makes of it."""

import pytest

from config.job import to_job
from handlers import Middleware, Next, Outcome, PartEnvelope
from shards import failure_codes
from shards.failures import failure_of
from shards.guard import OutOfTime
from shards.handler_work import ForeignFailure
from shards.inbox import (
    BrokenTransaction,
    ContentConflict,
    InboxFault,
    PartIdentity,
    PlacementStale,
    Superseded,
)
from shards.parts import StartedBefore
from shards.transaction_tries import RetryInterrupted
from tests.support.careless_links import FORGED, hiding, repeating, replacing
from tests.support.jobs import job_fields
from worker.middleware import pass_through

pytestmark = pytest.mark.usefixtures("quiet")

ENVELOPE = PartEnvelope(job=to_job(job_fields()), job_type="orders.insert", customer_id="c-1")
IDENTITY = PartIdentity("job-1", "c-1", 1, "digest", 0, 1, "orders.insert", "acme", None)


@pytest.mark.parametrize("link", [hiding, replacing, repeating])
@pytest.mark.parametrize(
    "verdict",
    [
        ContentConflict(IDENTITY),
        Superseded(2),
        PlacementStale(),
        StartedBefore(2),
        BrokenTransaction(),
        InboxFault(failure_of(failure_codes.DEFECT)),
        OutOfTime(),
        RetryInterrupted(),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_what_only_the_shard_and_the_inbox_can_say_stands(link: Middleware, verdict: Exception) -> None:
    """A link hides none of it, replaces none of it, and asks once."""
    asked: list[str] = []

    def transaction() -> Outcome:
        asked.append("once")
        raise verdict

    with pytest.raises(type(verdict)) as caught:
        pass_through([hiding, link], ENVELOPE, transaction, "sqlite", {})

    assert caught.value is verdict
    assert asked == ["once"]


def test_a_link_cannot_say_what_only_the_inbox_can() -> None:
    """An error of the worker's own that a link raises by itself is an error of the link's."""

    def forge(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002, ARG001 - Symfony's words
        raise Superseded(2)

    with pytest.raises(ForeignFailure):
        pass_through([forge], ENVELOPE, lambda: FORGED, "sqlite", {})
