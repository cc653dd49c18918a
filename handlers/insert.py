"""The built-in handler, configured without Python: rows from payload or attachments into one table."""

from typing import Any

from config.settings import InsertHandler
from handlers.contract import PartContext


class InsertRows:
    """Inserts a job's rows into the configured table; called as any handler is."""

    def __init__(self, section: InsertHandler) -> None:
        self._section = section

    def __call__(self, payload: Any, context: PartContext) -> dict[str, int]:
        """Insert the rows and return how many."""
        raise NotImplementedError
