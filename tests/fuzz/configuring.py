"""The target `configuration`: any file and environment are settings, or the one typed error tells why not."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from pydantic import BaseModel

from config.load import OVERRIDE_PREFIX, ConfigurationError, effective, load_settings
from config.settings import Settings
from tests.fuzz.mutation import VALUES, bent_case, bent_text
from tests.fuzz.tape import Tape
from tests.fuzz.target import Case, kept_cases

FOLDER: Final = "configuration"
SAMPLE: Final = Path(__file__).parents[2] / "config" / "samples" / "config.toml"

MANY: Final = 3
MEASURES: Final = [
    "30s",
    "0s",
    "1ms",
    "9" * 30 + "d",
    "9" * 400 + "s",
    "1.5h",
    "-1s",
    "10MiB",
    "9" * 400 + "GiB",
    "100/s",
    "5/0s",
    "9999999/m",
    "unlimited",
    "1/" + "9" * 400 + "d",
    "utf-16",
    "rot13",
    "%d.%m.%Y",
    ";",
]
TEXTS: Final = [
    "sqs://jobs",
    "sql:///q.db?queue=a",
    "amqp://u:p@[::1/x?queue=",
    "redis://h:99999999/0?queue=a",
    "*",
    "postgresql://u:p@h:5432/d",
    "mysql://h/d?charset=x",
    "sqlite:////tmp/x.db",
    "credential:x",
    "module:name",
]


class Configuring:
    """Loads each file with its environment."""

    name = "configuration"
    folder = FOLDER

    def __init__(self) -> None:
        self._kept = list(kept_cases(FOLDER).values())
        self._directory = TemporaryDirectory(prefix="shardworker-fuzz-")
        self._file = Path(self._directory.name, "config.toml")

    def make(self, tape: Tape) -> Case:
        """A file of the corpus with its environment bent, or keys that there are with any values."""
        if not tape.once_in(3):
            return bent_case(tape, self._kept)
        lines = [_line(tape) for _ in range(tape.number(4))]
        toml = "\n".join([*lines, tape.pick([QUEUES, QUEUES, ""])])
        environment = dict(_variable(tape) for _ in range(tape.number(4)))
        return {"toml": bent_text(tape, toml) if tape.once_in(5) else toml, "environment": environment}

    def run(self, case: Case) -> Counter[str]:
        """Load the file; what is loaded can be told in the log."""
        self._file.write_bytes(case["toml"].encode("utf-8", "surrogatepass"))
        try:
            loaded = load_settings(self._file, case["environment"])
        except ConfigurationError as error:
            problems = error.problems
        else:
            json.dumps([effective(loaded.settings), loaded.warnings, loaded.overrides])
            return Counter(["settings"])
        assert problems
        assert all(isinstance(problem, str) for problem in problems)
        return Counter(
            [f"refused: {len(problems)} problems" if len(problems) < MANY else "refused: many problems"]
        )

    def close(self) -> None:
        """Remove the file."""
        self._directory.cleanup()


def _places(model: type[BaseModel], way: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key that a file may have, by the names that lead to it; a table's own keys are called `x`."""
    for name, field in model.model_fields.items():
        place = (*way, field.alias or name)
        yield place
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _places(inner, place)
        yield from ((*place, "x", *rest) for rest in _entries(inner))


def _entries(annotation: Any) -> Iterator[tuple[str, ...]]:
    for inner in getattr(annotation, "__args__", ()):
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _places(inner)


PLACES: Final = sorted(set(_places(Settings)))
WRITTEN: Final = [*TEXTS, *MEASURES, *VALUES]
QUEUES: Final = '[queues]\nrequest = ["sqs://jobs"]\nresponse = "sqs://results"\nfailure = "sqs://failures"\n'


def _line(tape: Tape) -> str:
    # what JSON has and TOML has not is a mistake of the file's
    value = tape.pick(WRITTEN)
    text = tape.pick([json.dumps(value, ensure_ascii=False), f"[{json.dumps(value)}]"])
    return f"{'.'.join(json.dumps(name) for name in tape.pick(PLACES))} = {text}"


def _variable(tape: Tape) -> tuple[str, str]:
    value = tape.pick(WRITTEN)
    plain = value if isinstance(value, str) else json.dumps(value)
    text = tape.pick([plain, f"[{json.dumps(value)}]", bent_text(tape, plain)])
    odd = tape.pick(["", "", "", "__", "__x", "__0", "\ud800"])
    return OVERRIDE_PREFIX + "__".join(tape.pick(PLACES)).upper() + odd, text
