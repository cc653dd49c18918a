"""Every place at once: one question put to many shards in threads, answers as they come."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from difflib import get_close_matches
from queue import Empty, SimpleQueue
from typing import Annotated, Final, Generic, NamedTuple, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy.exc import SQLAlchemyError

from config.settings import Settings
from shards.engines import Shard, Shards
from shards.failures import KnownFailure, classify
from worker.cli.errors import CommandError
from worker.cli.places import Place, inbox_places

Value = TypeVar("Value")
Question = Callable[[Shard, str | None], Value]

FOR_EVER_SECONDS: Final = threading.TIMEOUT_MAX

ShardsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="SHARD", show_default=False, help="Which shards. Without any: all."),
]
JobsOption = Annotated[int, typer.Option("--jobs", min=1, max=64, help="How many places at a time.")]


class Answer(NamedTuple, Generic[Value]):
    """What a place answered after so many milliseconds; or None, and in `error` why it did not."""

    place: Place
    value: Value | None
    error: str | None
    milliseconds: int


def chosen_places(settings: Settings, names: Sequence[str]) -> list[Place]:
    """The places of these shards, of all shards where none is named; `CommandError` for an unknown name."""
    for name in names:
        if name not in settings.shards:
            raise unknown_name("shard", name, settings.shards)
    return [place for place in inbox_places(settings) if not names or place.shard in names]


def unknown_name(what: str, name: str, known: Iterable[str]) -> CommandError:
    """The error for a name that nothing has, with the name that was probably meant."""
    close = get_close_matches(name, list(known), n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return CommandError(f"There is no {what} {name!r}.{hint}")


def ask_with_progress(
    settings: Settings, names: Sequence[str], question: Question[Value], *, jobs: int
) -> Iterator[Answer[Value]]:
    """Put the question to every place of these shards, as `ask_every` does, with a bar on a terminal."""
    places = chosen_places(settings, names)
    console = Console(stderr=True)
    progress = Progress(
        *(TextColumn("{task.completed}/{task.total}"), BarColumn(), TimeElapsedColumn()),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=sys.stdout.isatty(),
    )
    with closing(Shards(settings.shards)) as shards, progress as bar:
        task = bar.add_task("places", total=len(places))
        for answer in ask_every(shards, places, question, jobs=jobs):
            bar.advance(task)
            yield answer


def ask_every(
    shards: Shards,
    places: Sequence[Place],
    question: Question[Value],
    *,
    jobs: int,
    patience_seconds: float = FOR_EVER_SECONDS,
) -> Iterator[Answer[Value]]:
    """Put the question to every place, `jobs` of them at a time; each answer as it comes.

    What a database refuses is an answer with an `error`. A place that says nothing for `patience_seconds`
    is answered for, and left to itself: its thread does not keep the process from leaving.
    """
    return _Round(shards, places, question, patience_seconds).answers(jobs)


class _Round(Generic[Value]):
    """One question on its way to many places."""

    def __init__(
        self, shards: Shards, places: Sequence[Place], question: Question[Value], patience_seconds: float
    ) -> None:
        self._shards = shards
        self._places = places
        self._question = question
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._left = list(reversed(range(len(places))))
        self._begun: dict[int, float] = {}
        self._gates = {place.shard: threading.Semaphore(shards.get(place.shard).limit) for place in places}
        self._answers: SimpleQueue[tuple[int, Answer[Value] | Exception]] = SimpleQueue()

    def answers(self, jobs: int) -> Iterator[Answer[Value]]:
        """Every place's answer, once."""
        for _ in range(min(jobs, len(self._places))):
            self._start_thread()
        open_numbers = set(range(len(self._places)))
        while open_numbers:
            for number, answer in self._next_answers(open_numbers):
                if isinstance(answer, Exception):
                    raise answer
                if number in open_numbers:
                    open_numbers.remove(number)
                    yield answer

    def _start_thread(self) -> None:
        threading.Thread(target=self._ask_on, name="ask", daemon=True).start()

    def _ask_on(self) -> None:
        """A thread: ask one place after the other, until none is left."""
        while (number := self._take()) is not None:
            try:
                self._answers.put((number, self._ask(self._places[number])))
            except Exception as error:  # noqa: BLE001 - raised again where the answers are waited for
                self._answers.put((number, error))

    def _take(self) -> int | None:
        with self._lock:
            if not self._left:
                return None
            number = self._left.pop()
            self._begun[number] = time.monotonic()
            return number

    def _ask(self, place: Place) -> Answer[Value]:
        shard = self._shards.get(place.shard)
        value, error = None, None
        with self._gates[place.shard]:
            begun = time.monotonic()
            try:
                value = self._question(shard, place.schema)
            except (SQLAlchemyError, KnownFailure) as refused:
                error = classify(refused, shard.dialect).message
            return Answer(place, value, error, _milliseconds_since(begun))

    def _next_answers(self, open_numbers: set[int]) -> Iterator[tuple[int, Answer[Value] | Exception]]:
        """The next answer; without one in time, an answer for each place whose time is over."""
        with self._lock:
            begun = {number: at for number, at in self._begun.items() if number in open_numbers}
        earliest = min(begun.values(), default=time.monotonic())
        wait = max(0.0, earliest + self._patience_seconds - time.monotonic())
        try:
            yield self._answers.get(timeout=min(wait, FOR_EVER_SECONDS))
        except Empty:
            error = f"It does not answer within {self._patience_seconds:g} s."
            for number, at in begun.items():
                if _milliseconds_since(at) >= self._patience_seconds * 1000:
                    self._start_thread()  # in the place of the one that may hang for ever
                    yield number, Answer(self._places[number], None, error, _milliseconds_since(at))


def _milliseconds_since(moment: float) -> int:
    return round((time.monotonic() - moment) * 1000)
