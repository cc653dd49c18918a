"""What is told of Redis servers that cannot be started in a test: old ones, and hosted ones."""

from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from worker.transports.redis_check import findings


class ToldServer(Redis):
    """A server that tells only this of itself; it does not let its settings be asked."""

    def __init__(self, **told: Any) -> None:
        super().__init__()
        self._told = told

    def info(self, *_: Any, **__: Any) -> Any:
        """What it tells."""
        return self._told

    def config_get(self, *_: Any, **__: Any) -> Any:
        """It refuses."""
        raise ResponseError("unknown command")


@pytest.mark.parametrize("version", ["6.2.0", "7.0.15", "10.0.1"])
def test_of_a_hosted_server_that_tells_little_nothing_is_said(version: str) -> None:
    """What is not known is not told as a fault."""
    assert findings(ToldServer(redis_version=version, aof_enabled=1)) == []
    assert findings(ToldServer(redis_version=version)) == []


@pytest.mark.parametrize("version", ["6.0.16", "5.0.14"])
def test_a_server_that_is_too_old_is_told(version: str) -> None:
    """With its version and the one that is needed."""
    (found,) = findings(ToldServer(redis_version=version))
    assert version in found
    assert "6.2" in found
