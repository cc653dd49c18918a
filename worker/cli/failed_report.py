"""What the commands on the failure queue say of each message that they were to do something with."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from worker.cli.errors import CommandError
from worker.cli.failed_messages import FailedMessage
from worker.cli.failed_queue import SEARCHED_MAXIMUM, Search
from worker.cli.output import print_json, print_line


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one message: `done` in words, None where nothing was; `error` says what went wrong."""

    message: FailedMessage
    done: str | None
    queue: str | None = None
    run: int | None = None
    error: str | None = None

    def __str__(self) -> str:
        to = "" if self.queue is None else f" to {self.queue}"
        run = "" if self.run is None else f" as run {self.run}"
        return f"{self.message.message_id}: {self.done}{to}{run}"

    def fields(self) -> dict[str, Any]:
        """The line as JSON names it."""
        names = {"id": self.message.message_id, "job_id": self.message.job_id, "done": self.done}
        return {**names, "queue": self.queue, "run": self.run, "error": self.error}


class Report:
    """Prints each line as it comes, and in the end says what went wrong."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._count = 0
        self._errors: list[str] = []

    def add(self, lines: Iterable[Line]) -> None:
        """Print what became of each message of a batch, as it comes."""
        for line in lines:
            self._count += 1
            if self._as_json:
                print_json(line.fields())
            elif line.done is not None:
                print_line(str(line))
            if line.error is not None:
                self._errors.append(f"{line.message.message_id}: {line.error}")

    def close(self, search: Search) -> None:
        """Say what is left; raises `CommandError` if any of it was asked for."""
        errors = [*self._errors, *map(_not_met, search.missing())]
        if search.is_cut_short:
            errors.append(f"The queue is long: only {SEARCHED_MAXIMUM} of its messages were looked at.")
        if errors:
            raise CommandError("\n".join(errors))
        if not self._count and not self._as_json:
            print_line("The failure queue holds no such message that can be seen now.")


def _not_met(message_id: str) -> str:
    return (
        f"{message_id}: no such message can be seen on the failure queue now, or it does not fit the "
        "filters. Give the whole id, as `shardworker failed list` shows it."
    )
