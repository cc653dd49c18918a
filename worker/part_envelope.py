"""A part within its middleware, and the envelope that it is told of; made only where there is some."""

from collections.abc import Callable, Sequence

from handlers.middleware import Middleware, PartEnvelope
from shards.engines import Shards
from shards.inbox import Outcome
from worker.handler_call import names_of, shard_name
from worker.job_in_hand import Part
from worker.middleware import pass_through


def within_middleware(
    middleware: Sequence[Middleware], part: Part, transaction: Callable[[], Outcome], shards: Shards
) -> Outcome:
    """The outcome of the part's transaction, run inside its middleware; raises as `pass_through`."""
    if not middleware:
        return transaction()
    dialect = shards.get(shard_name(part)).dialect
    return pass_through(middleware, part_envelope(part), transaction, dialect, names_of(part))


def part_envelope(part: Part) -> PartEnvelope:
    """What middleware is told of the part."""
    owner = part.owner
    held, trace = owner.held[0], owner.identity.trace
    return PartEnvelope(
        job=owner.job,
        job_type=owner.job_type,
        run=owner.run,
        customer_id=part.request.customer_id,
        placement=part.placement,
        queue=held.source.name,
        receive_count=held.delivery.receive_count,
        stamps=owner.stamps,
        traceparent=None if trace is None else trace.traceparent,
    )
