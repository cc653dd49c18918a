"""A middleware that fails when all is done, as a worker process loads it."""

from handlers import Next, Outcome, PartEnvelope, Reject


def fail_late(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
    """Go on, and then raise what would fail the part before."""
    next(envelope)
    raise Reject("too_late", "The part is done already.")
