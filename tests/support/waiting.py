"""Jobs that wait for days, on a queue whose time is the test's: intake, executor and settler by hand."""

import json
from datetime import timedelta
from typing import Any

from tests.support.core import Site
from tests.support.memory_queue import MemoryPlace
from tests.support.settling import Hands
from worker.held import Held, Room
from worker.leases import Leases
from worker.letters import Letters
from worker.settler import Outlets, Settler
from worker.transports.base import Message, Transport

LEASE = timedelta(minutes=1)


class WaitingSite:
    """A site whose messages come from `queue` and go back to it."""

    def __init__(self, site: Site, queue: Transport) -> None:
        self.site = site
        self.queue = queue
        queue.create()
        clock = site.time.clock
        place = MemoryPlace(clock=lambda: clock.now().timestamp())
        self.response, self.failure = place.transport("response"), place.transport("failure")
        self.leases = Leases(LEASE.total_seconds(), clock)
        self.room = Room(100, None, lambda: None, lambda: None)
        letters = Letters(site.objects, None, "host:1", clock)
        outlets = Outlets(self.response, self.failure)
        self.settler = Settler(outlets, letters, site.settings, self.leases, self.room, clock)
        self.hands = Hands(self.settler)

    def send(self, job: dict[str, Any]) -> None:
        """Put a job on the queue."""
        assert self.queue.send([Message(json.dumps(job))]) == {}

    def receive(self) -> list[Held]:
        """Take in what is visible now, to its lanes or to its end."""
        clock = self.site.time.clock
        deliveries = self.queue.receive(10, timedelta(), LEASE)
        expires_at = clock.monotonic() + LEASE.total_seconds()
        held = [Held(one, self.queue, clock.now(), clock.monotonic(), expires_at) for one in deliveries]
        self.leases.keep(held)
        self.room.fill(self.room.reserve(len(held), 0) if held else 0, len(held))
        for one in held:
            self.site.intake.take(one)
        return held

    def settle(self) -> None:
        """Run what is in the lanes, and take what is concluded to its end."""
        self.site.run()
        while self.site.settled:
            settled = self.site.settled.pop(0)
            self.settler.settle(settled.held, settled.conclusion, settled.facts)
        self.hands.run(4)

    def live(self, span: timedelta, step: timedelta) -> None:
        """Let a worker work for so long, with a look at the queue at each step."""
        left = span
        while left >= timedelta():
            self.receive()
            self.settle()
            self.site.time.pass_time(step.total_seconds())
            left -= step
