"""What every target of the fuzzing is: a folder of cases, a way to make new ones, and one to run them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Final, Protocol

from tests.fuzz.tape import Tape

CORPUS: Final = Path(__file__).parent / "corpus"

Case = dict[str, Any]
"""What is run, as JSON can hold it: so it is kept in the corpus, and bent."""


class Target(Protocol):
    """Something that must take whatever comes."""

    name: str
    folder: str

    def make(self, tape: Tape) -> Case:
        """A case that nobody has thought of."""
        ...

    def run(self, case: Case) -> Counter[str]:
        """How what was in the case ended, counted; an exception is a find."""
        ...

    def close(self) -> None:
        """Let go of files and databases."""
        ...


def kept_cases(folder: str, corpus: Path = CORPUS) -> dict[str, Case]:
    """The corpus of a folder, by the files' names."""
    files = sorted((corpus / folder).glob("*.json"))
    return {file.stem: json.loads(file.read_text(encoding="ascii")) for file in files}


def keep(folder: str, name: str, case: Case, corpus: Path = CORPUS) -> Path:
    """Write a case into the corpus; a half of a surrogate pair stays as it is, in its escape."""
    file = corpus / folder / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(case, indent=1) + "\n", encoding="ascii")
    return file
