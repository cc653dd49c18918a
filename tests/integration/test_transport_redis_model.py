"""A queue on Redis does what a simple model of a queue with leases does, but for the order."""

from collections.abc import Iterator, Sequence
from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from tests.support.fakes import ManualTime
from tests.support.queue_machine import CONSUMERS, LEASE_SECONDS, Queued, QueueMachine
from tests.support.redis_server import RedisServer, running_redis
from worker.transports.addresses import RedisAddress
from worker.transports.base import Delivery
from worker.transports.redis import RedisTransport


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with running_redis(appendfsync="everysec") as server:
        yield server


@pytest.mark.timeout(400)  # a failure is made small before it is told, which takes a while
def test_any_order_of_calls_does_what_the_model_does(redis_server: RedisServer) -> None:
    """Nothing vanishes, is delivered to two, or comes again after its ack; all is counted.

    What was released or delayed comes neither before nor after what never came: a receive takes of both.
    """
    url = redis_server.url("q").partition("?")[0]

    class RedisMachine(QueueMachine):
        """Each with queues of its own."""

        def __init__(self) -> None:
            suffix = uuid4().hex[:8]

            def open_queue(name: str, time: ManualTime) -> RedisTransport:
                address = RedisAddress(url, f"{name}-{suffix}")
                transport = RedisTransport(address, password=lambda: None, clock=lambda: time.seconds)
                transport.create()
                return transport

            super().__init__(open_queue)

        @rule(consumer=st.sampled_from(CONSUMERS), maximum=st.integers(1, 12), lease=LEASE_SECONDS)
        def receive(self, consumer: int, maximum: int, lease: int) -> None:
            """Without a wait: a server's takes time of its own, and not the model's."""
            self._receive(consumer, maximum, 0, lease)

        def expected(self, taken: Sequence[Delivery], maximum: int) -> list[Queued]:
            """Any that can be received, as many as asked for; of what never came, the oldest, in order."""
            visible = {queued.message.body: queued for queued in self.model.visible(self.now)}
            assert len(taken) == min(maximum, 10, len(visible))
            found = [visible[one.body] for one in taken]
            fresh = [queued.number for queued in visible.values() if is_fresh(queued)]
            taken_fresh = [queued.number for queued in found if is_fresh(queued)]
            assert taken_fresh == fresh[: len(taken_fresh)]
            return found

        @invariant()
        def everybody_sees_the_same_queue(self) -> None:
            """What waits, in any order; how many are leased and delayed."""
            looking, counting = self.consumers
            seen = [(one.body, one.receive_count, one.group) for one in looking.browse(10_000)]
            visible = self.model.visible(self.now)
            assert sorted(seen, key=repr) == sorted(
                ((one.message.body, one.receive_count, one.message.group) for one in visible), key=repr
            )
            assert counting.depth() == self.model.depth(self.now)

    run_state_machine_as_test(RedisMachine, settings=settings(max_examples=12, stateful_step_count=25))


def is_fresh(queued: Queued) -> bool:
    """Whether it was sent without a delay and never came."""
    return queued.receive_count == 0 and not queued.message.delay
