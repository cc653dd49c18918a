"""The contract for handler authors, the registry, the built-in handlers and the handlers' test kit."""

from handlers.contract import PartContext, Reject, Retry, handles
from handlers.rows import csv_rows, json_rows

__all__ = ["PartContext", "Reject", "Retry", "csv_rows", "handles", "json_rows"]
