"""What the daemon is put together with."""

import pytest

from worker.assembly import prefetch_of


@pytest.mark.parametrize(("in_hand_max", "threads", "prefetch"), [(100, 8, 100), (4, 8, 16), (16, 8, 16)])
def test_a_broker_pushes_what_there_is_room_for_and_two_for_each_thread_at_least(
    in_hand_max: int, threads: int, prefetch: int
) -> None:
    """With fewer, threads would wait for acks that are still on their way."""
    assert prefetch_of(in_hand_max, threads) == prefetch
