"""What holds for all tests: no judging of a machine's speed, and a log as it is in a new process."""

import os
import signal
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.support.logging_state import logging_restored

pytest_plugins = ["tests.support.worlds", "tests.support.rabbitmq"]

# In CI the same examples each time: its verdict is on the change, not on luck. Elsewhere new ones each time.
settings.register_profile(
    "shardworker",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("shardworker")


def pytest_configure() -> None:
    """Let signals reach the processes that tests start, also where the tests run in the background.

    A shell starts what runs there with SIGINT ignored, `nohup` with SIGHUP. That is handed on, a handler
    is not.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.fixture(autouse=True)
def logging_of_a_new_process() -> Iterator[None]:
    """No test sees what another, or a command that it ran in this process, made of the log."""
    with logging_restored():
        structlog.reset_defaults()
        yield
