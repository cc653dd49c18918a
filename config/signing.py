"""The section `[signing]`: which jobs need a signature of the worker's own kind, and its keys."""

from pathlib import Path
from typing import Final

from config.section import Section

ALL: Final = "*"
"""Among the types: every message, also one that is no job."""


class Signing(Section):
    """`[signing]`: the keys, of which the first signs and each verifies, and the types that need them."""

    key_files: list[Path] = []
    required_types: list[str] = []

    def requires(self, job_type: str) -> bool:
        """Whether messages of a job type have to be signed; the type is empty where none can be read."""
        return ALL in self.required_types or job_type in self.required_types
