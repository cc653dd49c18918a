"""What queues and buckets do to each message, call and object: drawn from the seed and its name."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal, NamedTuple

from tests.soak.chance import chance_of
from tests.support.sqs_server import Fault

BEHIND_SECONDS_MAXIMUM: Final = 30.0
AGAIN_SECONDS_MAXIMUM: Final = 8.0


@dataclass
class MessageFate:
    """A message's way through its queue: how far others are let past, and how often it comes again unasked.

    `doubles` receives do not hide it; `ghosts` deletes are answered and do not hold.
    """

    ahead_seconds: float
    doubles: int
    ghosts: int
    again_seconds: float


def message_fate(seed: int, body: str, copy: int) -> MessageFate:
    """The fate of the so many-th message with this body."""
    chance = chance_of(seed, "message", copy, body)
    return MessageFate(
        ahead_seconds=chance.uniform(0, BEHIND_SECONDS_MAXIMUM),
        doubles=chance.random() < 0.03,
        ghosts=chance.random() < 0.02,
        again_seconds=chance.uniform(0, AGAIN_SECONDS_MAXIMUM),
    )


class CallFate(NamedTuple):
    """What happens to a call: a fault, entries of its batch that fail, and how late it is answered."""

    fault: dict[str, Any] | None = None
    late_seconds: float = 0.0
    entries: float = 0.0
    """Which share of a batch's entries fail; 0: the fault is the whole call's."""


GOOD: Final = CallFate()
THROTTLED: Final = {"code": "RequestThrottled", "status": 400}
UNAVAILABLE: Final = {"code": "ServiceUnavailable", "status": 503}
INTERNAL: Final = {"code": "InternalError", "status": 500}
DROPPED: Final = {"drop": True}
ANSWER_LOST: Final = {"drop": True, "done": True}
HANGING_SECONDS: Final = 12.0
SENDING: Final = ("Send", "Delete", "Change")
HANGS_ONE_IN: Final = 2_000


def call_fates(seed: int, action: str) -> Iterator[CallFate]:
    """The fate of each call of an action, in their order; troubles come in runs, as they do."""
    chance = chance_of(seed, "calls", action)
    while True:
        yield from [GOOD] * chance.randint(1, 40)
        fate = _trouble(chance, action)
        yield from [fate] * chance.choice((1, 1, 1, 2, 3, 5))


def _trouble(chance: Random, action: str) -> CallFate:
    if chance.randrange(HANGS_ONE_IN // 20) == 0:
        return CallFate(late_seconds=HANGING_SECONDS)
    if chance.random() < 0.2:
        return CallFate(late_seconds=chance.uniform(0.05, 1.0))
    fault = chance.choice((THROTTLED, UNAVAILABLE, INTERNAL, DROPPED, ANSWER_LOST))
    if action.startswith(SENDING) and chance.random() < 0.4 and fault not in (DROPPED, ANSWER_LOST):
        return CallFate(fault, entries=chance.random())
    return CallFate(fault)


def fault_of(fate: CallFate, action: str, entries: int) -> Fault | None:
    """The stand-in's fault for a call with so many entries."""
    if fate.fault is None:
        return None
    failing = tuple(range(max(1, round(entries * fate.entries)))) if fate.entries and entries else ()
    return Fault(action, **fate.fault, entries=failing)


ObjectTrouble = Literal["slow down", "internal", "drop", "cut short", "slow"]
OBJECT_TROUBLES: Final[tuple[ObjectTrouble, ...]] = ("slow down", "internal", "drop", "cut short", "slow")


class ObjectFates:
    """The trouble of each request for an object, None where there is none; at peace, of none."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._asked: Counter[str] = Counter()
        self.at_peace = False

    def next(self, key: str) -> ObjectTrouble | None:
        """What happens to the next request for the object: one in six fails, some of these many times."""
        self._asked[key] += 1
        chance = chance_of(self._seed, "object", key)
        times = chance.choice((1, 2, 4, 8)) if chance.random() < 1 / 6 else 0
        if self.at_peace or self._asked[key] > times:
            return None
        return chance.choice(OBJECT_TROUBLES)
