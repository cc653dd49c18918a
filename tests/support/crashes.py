"""The crash matrix's crashes: where a worker dies, by which means, and what it leaves behind there."""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from config.points import Point
from tests.support.crash_databases import SERVERS, Databases
from tests.support.crash_queues import CrashQueues
from tests.support.crash_site import ONE_AT_A_TIME, PAUSED, CrashSite, Left
from tests.support.crash_worker import Death, exit_status
from tests.support.deadly_proxy import DeadlyProxy, Fate, Trap, deadly_proxy
from tests.support.world import wait_until

MINUTE_SECONDS = 60
ACK = b"AmazonSQS.DeleteMessageBatch"
COMMIT = b"COMMIT"

NOTHING = Left(runs=0, parts=0, results=0, letters=0, messages=2, files=0)
FETCHED = NOTHING._replace(files=1)
RUN = FETCHED._replace(runs=1)
RECORDED = NOTHING._replace(runs=4, parts=4)
ANSWERED = RECORDED._replace(results=1)
BURIED = ANSWERED._replace(letters=1)
COPIED = NOTHING._replace(runs=3, parts=3, messages=4)


@dataclass(frozen=True)
class Crash:
    """A place to die at: a point of the worker's, SQLite's COMMIT, or a request that is under way."""

    left: Left
    death: Death | None = None
    request: bytes = b""
    fate: Fate = Fate.LOST
    status: int = -signal.SIGKILL
    half_acked: bool = False
    waiting: bool = False
    """A part of the job waits meanwhile, on a queue that keeps messages for so short that it is sent anew."""


def _at(point: Point, left: Left, passing: int = 1) -> Crash:
    return Crash(left, Death(point, passing))


EVERYWHERE = {
    "after_receive": _at("after_receive", NOTHING),
    "after_prepare": _at("after_prepare", FETCHED),
    "after_join": _at("after_join", FETCHED),
    "after_claim": _at("after_claim", FETCHED),
    "inside_handler": _at("inside_handler", RUN),
    "before_commit": _at("before_commit", RUN),
    "after_first_part": _at("after_commit", RUN._replace(parts=1)),
    "before_failure": _at("before_commit", FETCHED._replace(runs=4, parts=3), passing=4),
    "before_result": _at("before_result", RECORDED),
    "after_result": _at("after_result", ANSWERED),
    "after_dead_letter": _at("after_dead_letter", BURIED),
    # at the second passing both copies are there for certain, sent together or one by one
    "after_resend": Crash(COPIED, Death("after_resend", passing=2), waiting=True),
    "during_ack_lost": Crash(BURIED, request=ACK),
    "during_ack_half": Crash(BURIED._replace(messages=1), request=ACK, fate=Fate.LANDED, half_acked=True),
    "during_ack_landed": Crash(BURIED._replace(messages=0), request=ACK, fate=Fate.LANDED),
}
ON_SERVERS = {
    "during_commit_lost": Crash(RUN, request=COMMIT),
    "during_commit_late": Crash(RUN, request=COMMIT, fate=Fate.LATE),
    "during_commit_landed": Crash(RUN._replace(parts=1), request=COMMIT, fate=Fate.LANDED),
}
ON_SQLITE = {
    "during_commit_lost": Crash(RUN, Death()),
    "during_commit_torn": Crash(RUN, Death(torn=True), status=-signal.SIGXFSZ),
}


def crashes_on(kind: str) -> dict[str, Crash]:
    """The crashes for a kind of database, by name."""
    return {**EVERYWHERE, **(ON_SERVERS if kind in SERVERS else ON_SQLITE)}


class Scene:
    """A site behind proxies that kill: `crash`, then `finish`."""

    def __init__(self, site: CrashSite, proxies: Mapping[bytes, DeadlyProxy]) -> None:
        self.site = site
        self._proxies = proxies

    def crash(self, crash: Crash, bend: str | None = None) -> int | None:
        """Let a worker die so; the status that it ended with."""
        if crash.half_acked:
            self.site.queues.server.fail_next("DeleteMessageBatch", entries=(1,))
        worker: list[BaseProcess] = []

        def kill() -> None:
            self.site.note_death()
            worker[0].kill()

        if crash.request:
            self._proxies[crash.request].arm(self._trap(crash.request, crash.fate, kill))
        if crash.waiting:
            self.site.queues.keep_for(MINUTE_SECONDS)
        worker.append(self.site.start_victim(crash.death, bend, PAUSED if crash.waiting else {}))
        status = exit_status(worker[0])
        # a poll of the dead worker's that is still under way would take the message for another lease
        wait_until(lambda: self._proxies[ACK].connections() == 0, "the end of its connections")
        return status

    def finish(self, crash: Crash, bend: str | None = None) -> int | None:
        """Let another worker finish; its exit status. A failure that was recorded would be none by then."""
        if crash.left.parts == RECORDED.parts:
            self.site.job.heal()
        self.site.end_lease()
        if crash.fate is not Fate.LATE:
            return self.site.finish(bend)
        another = self.site.start_another(bend=bend)
        self._commit_late()
        return exit_status(another)

    def run_with_broken_commit(self, fate: Fate) -> int | None:
        """Let a worker live, but lose its connection as it commits its first part; its exit status."""
        self._proxies[COMMIT].arm(self._trap(COMMIT, fate, self.site.note_death))
        worker = self.site.start_another(*ONE_AT_A_TIME)
        if fate is Fate.LATE:
            self._commit_late()
        return exit_status(worker)

    def _commit_late(self) -> None:
        wait_until(lambda: self.site.databases.lock_waiters() > 0, "a worker to meet the open part")
        self._proxies[COMMIT].let_go()

    def _trap(self, request: bytes, fate: Fate, kill: Callable[[], None]) -> Trap:
        # what is sent before the first part runs is none of it: some drivers commit as they connect
        return Trap(request, lambda: bool(self.site.job.runs()), fate, kill)


@contextmanager
def scene(directory: Path, databases: Databases) -> Iterator[Scene]:
    """The job on its queue, and everything that a worker needs for it."""
    with ExitStack() as stack:
        queues = stack.enter_context(CrashQueues())
        proxies = {ACK: stack.enter_context(deadly_proxy(queues.port))}
        urls = databases.urls
        if databases.port is not None:
            proxies[COMMIT] = stack.enter_context(deadly_proxy(databases.port))
            urls = databases.urls_by(proxies[COMMIT].port)
        site = CrashSite(directory, databases, queues, proxies[ACK].port, urls)
        stack.callback(site.close)
        yield Scene(site, proxies)
