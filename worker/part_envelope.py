"""The envelope of a part for its middleware; made only where there is some."""

from handlers.middleware import PartEnvelope
from worker.job_in_hand import Part


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
