"""A worker between Symfony applications: signed messages in, results and failed messages for them out."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.headers import read_own_header
from config.stamps import Stamps
from tests.support.symfony_letters import CLASS, HEADERS, KEY, from_symfony, headers_of, key_file
from tests.support.world import WorkerProcess, World, job, wait_until
from tests.support.worlds import embedded
from worker.symfony.signing import is_signed_right
from worker.transports.base import Message

SECTION = """
[symfony]
result_class = "App\\\\Message\\\\JobResult"
result_fields = {{ job_id = "jobId" }}
bus = "results.bus"
failure_stamps = true
signed_types = ["App\\\\*"]
sign_key_files = ["{key}"]

[symfony.types]
"App\\\\Message\\\\ImportJob" = "orders.insert"
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with embedded(tmp_path, extra=SECTION.format(key=key_file(tmp_path))) as world:
        yield world


def import_job(order_no: int, key: bytes | None) -> Message:
    """A message of Symfony's, signed if there is a key."""
    rows = [{"order_no": order_no}]
    return from_symfony(json.dumps(job(f"job-{order_no}", ["c-0"], rows=rows)), HEADERS, key)


def send(world: World, *messages: Message) -> None:
    assert not world.request.send(messages)


def reload(worker: WorkerProcess) -> str:
    """What became of a SIGHUP."""
    before = len(worker.events("config.reloaded") + worker.events("config.refused"))
    worker.signal(signal.SIGHUP)

    def told() -> list[str]:
        return [
            line["event"] for line in worker.log() if line["event"] in {"config.reloaded", "config.refused"}
        ]

    wait_until(lambda: len(told()) > before, "the reload")
    return told()[-1]


def test_a_worker_between_two_applications_of_symfony_s(world: World) -> None:
    """What is signed runs, and its result is an object of the class; what is not is not even answered.

    What failed is signed and has its stamps: `messenger:consume failed` has all that it needs.
    """
    worker = world.start_worker()
    body = json.dumps(job("job-9", ["c-99"]))
    send(world, import_job(1, KEY), import_job(2, None), import_job(3, b"another key"))
    send(world, from_symfony(body, HEADERS, KEY))
    world.wait_until_settled()

    assert [order_no for order_no, _ in world.rows()] == [1]
    found = {json.loads(one.body)["jobId"]: one for one in world.take_all(world.response)}
    assert found.keys() == {"job-1", "job-9"}
    for one in found.values():
        headers = headers_of(one.attributes)
        assert headers["type"] == "App\\Message\\JobResult"
        assert Stamps.read(headers).bus == "results.bus"
        assert is_signed_right(one.body, headers, KEY)

    letters = {read_own_header(one.headers).code: one for one in world.dead_letters()}
    assert letters.keys() == {"bad_signature", "unknown_customer"}
    assert len(world.dead_letters()) == 3
    headers = headers_of(letters["unknown_customer"].attributes)
    assert (letters["unknown_customer"].body, headers["type"]) == (body, CLASS)
    assert is_signed_right(body, headers, KEY)
    assert Stamps.read(headers).original_receiver == "requests"
    assert (Stamps.read(headers).last("ErrorDetailsStamp") or {})["exceptionClass"] == "unknown_customer"
    assert worker.stop() == 0


def test_a_changed_key_is_taken_by_a_reload(world: World, tmp_path: Path) -> None:
    """Without a restart; a file that is not there refuses the change, and the old key goes on."""
    worker = world.start_worker()
    worker.wait_for_event("worker.started")
    (tmp_path / "sign-key").rename(tmp_path / "gone")
    assert reload(worker) == "config.refused"
    send(world, import_job(1, KEY))
    world.wait_until_settled()
    text = world.config_path.read_text()
    new = key_file(tmp_path, b"new key", "new")
    key_file(tmp_path)
    world.config_path.write_text(text.replace("sign_key_files = [", f'sign_key_files = ["{new}", '))
    assert reload(worker) == "config.reloaded"
    send(world, import_job(2, b"new key"), import_job(3, KEY))
    world.wait_until_settled()

    assert sorted(order_no for order_no, _ in world.rows()) == [1, 2, 3]
    assert worker.stop() == 0
