"""The contract for handler authors, the registry, the built-in handlers and the handlers' test kit."""

from handlers.contract import PartContext, Reject, Retry, handles
from handlers.middleware import Middleware, Next, PartEnvelope
from handlers.rows import csv_rows, json_rows
from shards.inbox import Outcome

__all__ = [
    "Middleware",
    "Next",
    "Outcome",
    "PartContext",
    "PartEnvelope",
    "Reject",
    "Retry",
    "csv_rows",
    "handles",
    "json_rows",
]
