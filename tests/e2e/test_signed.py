"""A worker that takes signed jobs only, as a process: forgeries, expiry, retries, and keys that change."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from config.headers import read_own_header
from tests.e2e.test_failed_queue import break_shard, lines
from tests.e2e.test_symfony import reload
from tests.support.signed_letters import KEY, OTHER_KEY, key_files, signed
from tests.support.symfony_letters import CLASS, HEADERS, from_symfony, key_file
from tests.support.symfony_letters import KEY as SYMFONY_KEY
from tests.support.world import World, job
from tests.support.worlds import embedded
from worker.transports.base import Message

SECTION = """
[signing]
key_files = {keys}
required_types = ["*"]

[symfony]
signed_types = ["App\\\\*"]
sign_key_files = ["{symfony_key}"]

[symfony.types]
"App\\\\Message\\\\ImportJob" = "orders.insert"
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    symfony_key = key_file(tmp_path, SYMFONY_KEY, "symfony")
    extra = SECTION.format(keys=json.dumps(key_files(tmp_path, KEY)), symfony_key=symfony_key)
    with embedded(tmp_path, extra=extra, retry="max_attempts = 1") as world:
        yield world


def order(number: int, **fields: Any) -> dict[str, Any]:
    return job(f"job-{number}", ["c-1"], rows=[{"order_no": number}], **fields)


def signed_now(number: int, key: bytes = KEY, **fields: Any) -> Message:
    """An order of this number, as a producer signs it now."""
    return signed(order(number, **fields), key, issued_at=datetime.now(UTC))


def send(world: World, *messages: Message) -> None:
    """Put messages on the request queue and wait until each is settled."""
    assert not world.request.send(messages)
    world.wait_until_settled()


def numbers(world: World) -> list[int]:
    return sorted(order_no for order_no, _ in world.rows())


def answers(world: World) -> dict[str, tuple[str, int]]:
    return {one["job_id"]: (one["status"], one["run"]) for one in world.results()}


def test_only_what_is_signed_is_done_and_answered(world: World) -> None:
    """In either way; an expired job is told so. Nothing that is secret is in the log."""
    worker = world.start_worker()
    unsigned, forged = Message(json.dumps(order(2))), signed_now(3, OTHER_KEY)
    expired = signed_now(4, expires_at="2026-01-01T00:00:00Z")
    symfony = from_symfony(json.dumps(order(5)), {**HEADERS, "type": CLASS}, SYMFONY_KEY)
    send(world, signed_now(1), unsigned, forged, expired, symfony)
    letters = {json.loads(one.body)["job_id"]: read_own_header(one.headers) for one in world.dead_letters()}

    assert numbers(world) == [1, 5]
    assert answers(world) == {"job-1": ("succeeded", 1), "job-5": ("succeeded", 1), "job-4": ("rejected", 1)}
    assert {job_id: one.code for job_id, one in letters.items()} == {
        "job-2": "bad_signature",
        "job-3": "bad_signature",
        "job-4": "expired",
    }
    assert [letters[job_id].answered for job_id in ("job-2", "job-3", "job-4")] == [False, False, True]
    assert world.inbox("job-2") == world.inbox("job-3") == []
    assert worker.stop() == 0
    log = worker.log_path.read_text()
    assert not re.search("[0-9a-f]{64}", log)
    assert not any(key.decode() in log for key in (KEY, OTHER_KEY))


def test_a_retry_is_signed_anew_and_done(world: World) -> None:
    """Its run is the next one, which nobody without a key can ask for; a forgery stays one."""
    break_shard(world)
    worker = world.start_worker()
    original = signed_now(1)
    send(world, original, signed_now(2, OTHER_KEY))
    assert answers(world) == {"job-1": ("failed", 1)}
    break_shard(world, mended=True)
    send(world, Message(original.body, _raised(original)))
    assert numbers(world) == []
    sent = lines(world, "failed", "retry", "--all", "--json")
    world.wait_until_settled()

    assert sorted(one["run"] or 1 for one in sent) == [1, 2, 2]
    assert numbers(world) == [1]
    assert {(one["job_id"], one["status"], one["run"]) for one in world.results()} == {
        ("job-1", "failed", 1),
        ("job-1", "succeeded", 2),
    }
    assert [read_own_header(one.headers).code for one in world.dead_letters()] == ["bad_signature"] * 2
    assert worker.stop() == 0


def _raised(message: Message) -> dict[str, Any]:
    """The attributes of a message, with another run than the one that was signed."""
    own = message.attributes["Shardworker"]
    header = {**json.loads(str(own.value)), "run": 2}
    return {"Shardworker": own._replace(value=json.dumps(header))}


def test_a_key_is_changed_without_a_gap(world: World, tmp_path: Path) -> None:
    """The new one beside the old one, then without it: by reloads, while jobs come; one is refused."""
    worker = world.start_worker()
    worker.wait_for_event("worker.started")
    old, both, new = (
        json.dumps(key_files(tmp_path, *keys)) for keys in ((KEY,), (OTHER_KEY, KEY), (OTHER_KEY,))
    )
    text = world.config_path.read_text()
    send(world, signed_now(1), signed_now(2, OTHER_KEY))
    short = json.dumps(key_files(tmp_path, b"short"))
    world.config_path.write_text(text.replace(f"key_files = {old}", f"key_files = {short}", 1))
    assert reload(worker) == "config.refused"
    for number, keys in ((3, both), (5, new)):
        world.config_path.write_text(text.replace(f"key_files = {old}", f"key_files = {keys}", 1))
        assert reload(worker) == "config.reloaded"
        send(world, signed_now(number, OTHER_KEY), signed_now(number + 1))

    assert numbers(world) == [1, 3, 4, 5]
    assert {json.loads(one.body)["job_id"] for one in world.dead_letters()} == {"job-2", "job-6"}
    assert worker.stop() == 0
