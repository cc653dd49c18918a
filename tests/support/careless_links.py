"""Links as careless authors write them: they hide errors, replace them, and go on again."""

from handlers import Next, Outcome, PartEnvelope, Reject

FORGED = Outcome("succeeded", 1, b"{}")


def hiding(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
    """Hide every error, as careless links do."""
    try:
        return next(envelope)
    except BaseException:  # noqa: BLE001 - that is what is tested
        return FORGED


def replacing(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
    """Make every error one of its own."""
    try:
        return next(envelope)
    except BaseException as error:
        raise Reject("own_code", "No.") from error


def repeating(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
    """Go on again where it failed."""
    hiding(envelope, next)
    return next(envelope)
