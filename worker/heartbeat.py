"""The heartbeat: what the service manager hears of the process, as long as its threads move."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from worker.assembly import Assembly
from worker.sd_notify import PING, READY, STOPPING, ServiceManager, extension, reloading, status
from worker.watch import Watch

INTERVAL_MAXIMUM: Final = timedelta(seconds=5)
EXTENSION: Final = timedelta(seconds=30)


class Heartbeat:
    """To be given a `beat` every `interval` by the main thread, which so shows that it moves as well.

    `describe` gives the line that `systemctl status` shows, `in_hand` counts what is not done yet.
    """

    def __init__(
        self,
        manager: ServiceManager,
        watch: Watch,
        describe: Callable[[], str],
        in_hand: Callable[[], int],
    ) -> None:
        self._manager = manager
        self._watch = watch
        self._describe = describe
        self._in_hand = in_hand
        self._least_in_hand: int | None = None
        self._shown = ""

    @property
    def interval(self) -> timedelta:
        """How long to wait between two beats: a third of what the manager waits for, five seconds at most."""
        watchdog = self._manager.watchdog
        return INTERVAL_MAXIMUM if watchdog is None else min(watchdog / 3, INTERVAL_MAXIMUM)

    def beat(self) -> None:
        """Look after the threads; ping the manager if all of them move, and tell it how things stand."""
        moves = self._watch.all_move()
        if moves and self._manager.watchdog is not None:
            self._manager.tell(PING)
        if self._least_in_hand is not None:
            self._ask_for_time(moves=moves)
        self._show()

    def ready(self) -> None:
        """The process does its work from now on, or again."""
        self._shown = self._describe()
        self._manager.tell(READY, status(self._shown))

    def reloading(self, monotonic_seconds: float) -> None:
        """The process takes a new configuration; `ready` ends that."""
        self._manager.tell(reloading(monotonic_seconds))

    def stopping(self) -> None:
        """The manager told the process to stop. While that gets on, `beat` asks for more time."""
        self._least_in_hand = self._in_hand()
        self._manager.tell(STOPPING, extension(EXTENSION))

    def _ask_for_time(self, *, moves: bool) -> None:
        assert self._least_in_hand is not None  # noqa: S101 - the process was told to stop
        in_hand = self._in_hand()
        if moves or in_hand < self._least_in_hand:
            self._manager.tell(extension(EXTENSION))
        self._least_in_hand = min(self._least_in_hand, in_hand)

    def _show(self) -> None:
        text = self._describe()
        if text != self._shown:
            self._shown = text
            self._manager.tell(status(text))


def describe(assembly: Assembly, watch: Watch, note: str) -> str:
    """How the process stands, in one line: `3 in hand, 1204 done; shards away: eu1`; at its end, the note."""
    facts = {
        "shards away": assembly.lanes.away(),
        "queues away": [one.queue_name for one in assembly.receivers if one.is_away],
        "not accepted": [name for name, stage in assembly.settler.stages().items() if stage.is_stuck],
        "hanging": watch.hanging,
        "given up": [str(len(assembly.work.given_up))] if assembly.work.given_up else [],
    }
    counts = f"{assembly.room.taken} in hand, {assembly.room.settled} done"
    lists = [f"{name}: {', '.join(names)}" for name, names in facts.items() if names]
    return "; ".join([counts, *lists, *([note] if note else [])])
