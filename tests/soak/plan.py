"""The plan of a soak: its jobs, their order, and what goes wrong when. The same seed makes the same plan."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from tests.soak.bad_jobs import killer
from tests.soak.case import Case
from tests.soak.cast import Server
from tests.soak.chance import chance_of
from tests.soak.desk import Desk
from tests.soak.kinds import WEIGHTS

Target = Server | Literal["worker", "sqlite"]

CALM_BEFORE: Final = 0.02
CALM_AFTER: Final = 0.95
COPIES_APART: Final = 400
JOBS_PER_KILLER: Final = 8_000
DOWN_SECONDS_MAXIMUM: Final = 4.0
ILL_SECONDS_MAXIMUM: Final = 6.0


@dataclass(frozen=True)
class Sizes:
    """How much happens in a soak. The four last are counts of what goes wrong beside kills and restarts."""

    jobs: int
    kills: int
    restarts: int
    workers: int = 3
    stops: int = 0
    pauses: int = 0
    outages: int = 0
    cuts: int = 0


@dataclass(frozen=True)
class Event:
    """What goes wrong once so many jobs are ended: to whom, in which way, and for how long.

    `index` says which of the workers, `seconds` how long a server is down, ill or a process stands still.
    """

    after: int
    target: Target
    way: str
    index: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Sending:
    """A message in the order of the stream: which case's, and which of its bodies."""

    case: int
    body: int


@dataclass(frozen=True)
class Plan:
    """All that is drawn before anything runs."""

    seed: int
    sizes: Sizes
    cases: tuple[Case, ...]
    stream: tuple[Sending, ...]
    events: tuple[Event, ...]

    @property
    def digest(self) -> str:
        """A short text that is the same for the same messages, files and events."""
        content = [(case.bodies, sorted(case.objects.items())) for case in self.cases]
        return hashlib.sha256(repr((content, self.stream, self.events)).encode()).hexdigest()[:12]


def sizes_of(jobs: int, kills: int, restarts: int, workers: int = 3) -> Sizes:
    """Sizes where the other troubles are about as frequent as kills and restarts."""
    return Sizes(jobs, kills, restarts, workers, kills // 5, kills // 10, restarts // 2, restarts)


def make_plan(seed: int, sizes: Sizes) -> Plan:
    """The plan of this seed: the same one each time."""
    cases = tuple(_cases(seed, sizes.jobs))
    stream = tuple(_stream(chance_of(seed, "stream"), cases))
    events = tuple(sorted(_events(chance_of(seed, "events"), sizes), key=lambda event: event.after))
    return Plan(seed, sizes, cases, stream, events)


def _cases(seed: int, count: int) -> Iterator[Case]:
    chance = chance_of(seed, "kinds")
    kinds, weights = list(WEIGHTS), list(WEIGHTS.values())
    killers = set(chance.sample(range(count), count // JOBS_PER_KILLER))
    for number in range(count):
        kind = killer if number in killers else chance.choices(kinds, weights)[0]
        yield kind(Desk(number, chance_of(seed, "job", number)))


def _stream(chance: Random, cases: Sequence[Case]) -> Iterator[Sending]:
    """Cases in their order, their second messages some way behind the first or at once."""
    placed = [
        (case_number + (chance.randrange(COPIES_APART) if body_number else 0), case_number, body_number)
        for case_number, case in enumerate(cases)
        for body_number in range(len(case.bodies))
    ]
    return (Sending(case_number, body_number) for _, case_number, body_number in sorted(placed))


def _events(chance: Random, sizes: Sizes) -> Iterator[Event]:
    for after in _spread(chance, sizes.jobs, sizes.kills):
        yield Event(after, "worker", "kill", chance.randrange(sizes.workers))
    for after in _spread(chance, sizes.jobs, sizes.stops):
        yield Event(after, "worker", "stop", chance.randrange(sizes.workers))
    for after in _spread(chance, sizes.jobs, sizes.pauses):
        yield Event(after, "worker", "stand still", chance.randrange(sizes.workers))
    for after in _spread(chance, sizes.jobs, sizes.restarts):
        server, way = chance.choice(RESTARTS)
        yield Event(after, server, way, seconds=chance.uniform(0, DOWN_SECONDS_MAXIMUM))
    for after in _spread(chance, sizes.jobs, sizes.outages):
        target, way = chance.choice(OUTAGES)
        yield Event(after, target, way, seconds=chance.uniform(0.5, ILL_SECONDS_MAXIMUM))
    for after in _spread(chance, sizes.jobs, sizes.cuts):
        yield Event(after, chance.choice(("postgresql", "mariadb")), "cut")


RESTARTS: Final[Sequence[tuple[Server, str]]] = (
    ("postgresql", "restart"),
    ("postgresql", "crash"),
    ("postgresql", "kill"),
    ("mariadb", "restart"),
    ("mariadb", "kill"),
)
OUTAGES: Final[Sequence[tuple[Target, str]]] = (
    ("postgresql", "refuse"),
    ("postgresql", "swallow"),
    ("mariadb", "refuse"),
    ("mariadb", "swallow"),
    ("sqlite", "lock"),
)


def _spread(chance: Random, jobs: int, count: int) -> Iterator[int]:
    """So many positions, one in each of as many stretches of the run, but for its begin and its end."""
    first, last = jobs * CALM_BEFORE, jobs * CALM_AFTER
    stretch = (last - first) / count if count else 0.0
    for number in range(count):
        yield int(first + stretch * (number + chance.random()))
