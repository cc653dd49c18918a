"""The watcher: looks at the metadata again and again, and does what they ask for."""

import math
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import structlog

from config.settings import Settings
from worker.clock import Clock
from worker.ec2.aside import Aside
from worker.ec2.auto_scaling import CALL_SECONDS, AutoScaling
from worker.ec2.departure import Departure
from worker.ec2.errand import Errand
from worker.ec2.introduction import Introduction
from worker.ec2.looking import Looking
from worker.ec2.metadata import Metadata, MetadataUnavailable, open_metadata
from worker.ec2.notices import Leaving, Outlook, reason_to_leave
from worker.ec2.protection import Protection, longest_running
from worker.ec2.tries import Tries
from worker.lifecycle import LifeEvents

EXIT_DONE: Final = 0
EXIT_LEFT: Final = 79
WAIT_SECONDS_MAXIMUM: Final = 60.0
TURN: Final = "turn"
"""Something that went on aside has ended: it is time for a turn."""

log = structlog.get_logger()


class Machine(NamedTuple):
    """Who we are: the instance and its region."""

    instance_id: str
    region: str


def run_watcher(settings: Settings, environment: Mapping[str, str], clock: Clock) -> int:
    """Watch until a signal; the exit status: 0, or 79 where there are no metadata to watch."""
    events = LifeEvents()
    with events.signals():
        metadata = open_metadata(environment)
        if metadata is None:
            log.info("ec2.nothing_to_watch", error="AWS_EC2_METADATA_DISABLED is set")
            return EXIT_LEFT
        try:
            machine = _find_machine(metadata, settings, events, clock)
        except MetadataUnavailable as error:
            log.info("ec2.nothing_to_watch", error=str(error))
            return EXIT_LEFT
        if machine is not None:
            Watcher(settings, Outlook(metadata), machine, events, clock).run()
    return EXIT_DONE


def _find_machine(metadata: Metadata, settings: Settings, events: LifeEvents, clock: Clock) -> Machine | None:
    """Ask who we are until there is an answer, None if a signal comes first; raises when patience is over."""
    give_up_at = clock.monotonic() + settings.ec2.metadata_patience.total_seconds()
    tries = Tries(clock.random)
    while True:
        try:
            return Machine(_required(metadata, "instance-id"), _required(metadata, "placement/region"))
        except MetadataUnavailable:
            now = clock.monotonic()
            if now >= give_up_at:
                raise
            tries.fail(now)
        if events.next(min(tries.due_at, give_up_at) - now) is not None:
            return None


def _required(metadata: Metadata, path: str) -> str:
    value = metadata.get(path)
    if value is None:
        raise MetadataUnavailable(f"{path} is not there")
    return value


class Watcher:
    """Looks at the metadata in the configured interval. Starts the workers again only if it stopped them.

    Whatever asks over the network does so aside: an answer that is late holds up no signal to the workers.
    """

    def __init__(
        self, settings: Settings, outlook: Outlook, machine: Machine, events: LifeEvents, clock: Clock
    ) -> None:
        self._settings = settings.ec2
        self._outlook = outlook
        self._machine = machine
        self._events = events
        self._clock = clock
        self._auto_scaling = AutoScaling(machine.instance_id, machine.region)
        self._protection = self._make_protection(settings)
        self._looking = Looking(outlook, settings.ec2.look_interval, clock)
        self._looks = Aside("looks", self._tell)
        self._calls = Aside("calls", self._tell)
        self._departure: Departure | None = None
        self._return: Errand | None = None

    def run(self) -> None:
        """Watch until a signal comes. The first look is waited for: before it there is nothing to do."""
        self._looking.turn(self._clock.monotonic())
        state = self._outlook.notices.lifecycle_state
        introduction = Introduction(self._machine.instance_id, state, self._settings, self._auto_scaling)
        while True:
            wake_at = self._turn(self._clock.monotonic(), introduction)
            event = self._events.next(min(wake_at - self._clock.monotonic(), WAIT_SECONDS_MAXIMUM))
            if event not in {None, TURN}:
                break
        for aside in (self._calls, self._looks):
            aside.wait(CALL_SECONDS)
        log.info("ec2.stopped", reason=event)

    def _turn(self, now: float, introduction: Introduction) -> float:
        act = self._decide()
        return min(self._looks.turn(now, self._looking), act(now), self._calls.turn(now, introduction))

    def _decide(self) -> Callable[[float], float]:
        """What the machine's state asks for now, as something that takes its turns."""
        drains = self._settings.on_rebalance == "drain"
        leaving = reason_to_leave(self._outlook.notices, rebalance_drains=drains)
        if leaving is not None:
            self._return = None
            if self._departure is None:
                self._departure = self._depart(leaving)
            self._departure.follow(leaving)
            return self._departure.turn
        if self._departure is not None:
            return self._come_back(self._departure)
        return self._serve

    def _depart(self, leaving: Leaving) -> Departure:
        return Departure(
            leaving, self._settings, self._auto_scaling, self._clock, tell=self._tell, calls=self._calls
        )

    def _come_back(self, departure: Departure) -> Callable[[float], float]:
        """In service again: what was stopped is started, but not before it has stopped."""
        if not departure.is_drained:
            return departure.turn
        self._departure = None
        self._return = Errand(self._settings.start_command, self._tell, self._clock)
        log.info("ec2.returning")
        return self._serve

    def _serve(self, now: float) -> float:
        return_at = math.inf if self._return is None else self._return.turn(now)
        protect_at = math.inf if self._protection is None else self._calls.turn(now, self._protection)
        return min(return_at, protect_at)

    def _tell(self) -> None:
        self._events.put(TURN)

    def _make_protection(self, settings: Settings) -> Protection | None:
        after = settings.ec2.protect_after
        if after is None:
            return None
        directory, now = settings.worker.state_directory, self._clock.now
        return Protection(
            self._auto_scaling,
            lambda: longest_running(directory, now()),
            after,
            settings.ec2.look_interval,
            self._clock,
        )
