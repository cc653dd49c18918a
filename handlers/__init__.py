"""The contract for handler authors, the registry, the built-in handlers and the handlers' test kit."""

from handlers.contract import PartContext, Reject, Retry, handles

__all__ = ["PartContext", "Reject", "Retry", "handles"]
