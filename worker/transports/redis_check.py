"""What a Redis server must be told so that it keeps messages: its memory policy, its disk, its kind."""

from collections.abc import Mapping
from typing import Any, Final

from redis import Redis
from redis.exceptions import ResponseError

OLDEST_VERSION: Final = (6, 2)


def findings(client: Redis) -> list[str]:
    """What is not as it should be, a sentence each. A setting that the server does not tell is not judged."""
    info: dict[str, Any] = client.info()
    told = [_version(info), _cluster(info), _eviction(info), _append_only(info)]
    if info.get("aof_enabled"):
        told.append(_sync(_setting(client, "appendfsync")))
    return [finding for finding in told if finding]


def _version(info: Mapping[str, Any]) -> str | None:
    version = str(info.get("redis_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if not version or numbers >= OLDEST_VERSION:
        return None
    return f"the server is Redis {version}, expected 6.2 or later: receiving fails"


def _cluster(info: Mapping[str, Any]) -> str | None:
    if not info.get("cluster_enabled"):
        return None
    return "the server is part of a Redis Cluster, whose nodes share a queue's keys out; use a single one"


def _eviction(info: Mapping[str, Any]) -> str | None:
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if not policy.startswith("allkeys"):
        return None
    return (
        f"maxmemory-policy is {policy!r}: a server that is full drops messages without a word; "
        "set it to 'noeviction'"
    )


def _append_only(info: Mapping[str, Any]) -> str | None:
    if info.get("aof_enabled", 1):
        return None
    return "appendonly is off: what came since the last snapshot is lost when the server ends; set 'yes'"


def _sync(value: str | None) -> str | None:
    if value in {None, "always"}:
        return None
    lost = "half a minute" if value == "no" else "second or two"
    return (
        f"appendfsync is {value!r}: messages of the last {lost} are lost when the machine goes down; "
        "set it to 'always' where that must not be"
    )


def _setting(client: Redis, name: str) -> str | None:
    try:
        found = client.config_get(name)
    except ResponseError:
        return None  # hosted servers do not let themselves be asked
    return found.get(name)
