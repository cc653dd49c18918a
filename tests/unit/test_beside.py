"""Files beside attachments: where they go, the room that they take on disk, and a store that is away."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from structlog.testing import capture_logs

from handlers import handles
from handlers.beside import StoredFile
from handlers.contract import PartContext, Reject
from handlers.testing import run_handler
from shards.failures import Kind
from shards.guard import NotShareable
from shards.lending import lent
from tests.support.attachments import Bench
from tests.support.bulk_parts import context_of
from tests.support.core import Site, insert_order
from tests.support.executing import run, the_row
from tests.support.intake import attachment
from tests.support.jobs import inbox_rows, job_fields, orders
from tests.support.parts import sqlite_shard
from worker.attachment_disk import DiskBudget, Room
from worker.beside import BUDGET_STEP_BYTES, CannotPut, key_beside
from worker.conclusion import Deferral
from worker.reports import Ended

FILES = "lines.csv.results"


def putting(data: bytes = b"seen", name: str = "report.txt") -> Callable[[Any, PartContext], Any]:
    """A handler that inserts an order and puts a file beside its attachment."""

    def handler(payload: Any, context: PartContext) -> Any:
        insert_order(payload, context)
        with context.file_beside("lines.csv", name) as file:
            file.write(data)
            return file.put()

    return handler


def put_by(site: Site) -> list[Path]:
    return sorted((site.bucket / "acme").glob(f"{FILES}/*"))


class TestKey:
    def test_a_file_lies_in_a_folder_beside_its_attachment(self) -> None:
        """The partner finds it by the attachment's name."""
        assert key_beside("acme", "acme/j/a.csv", "j.1.c-1.d.r.csv") == "acme/j/a.csv.results/j.1.c-1.d.r.csv"

    def test_a_customer_s_id_cannot_lead_elsewhere(self) -> None:
        """It may have any printable character."""
        assert (
            key_beside("acme", "acme/a", "j.1.../..%2F\\x.d.r.csv") == "acme/a.results/j.1..._.._2F_x.d.r.csv"
        )

    @pytest.mark.parametrize("key", ["acme/" + "x/" * 505 + "a", "acme/" + "ä" * 124, "acme/" + "a" * 248])
    def test_where_nothing_can_stand_beside_it_another_folder_is_taken(self, key: str) -> None:
        """The longest key is as good as any."""
        assert key_beside("acme", key, "name") == "acme/long.results/name"


def test_what_is_put_is_named_by_job_customer_and_content(site: Site) -> None:
    """The result tells where it is, and nothing else of it is left on disk."""
    report = run(site, putting(), attachments=[attachment(site)])

    sha256 = hashlib.sha256(b"seen").hexdigest()
    (path,) = put_by(site)
    assert path.name == f"job-1.1.c-1.{sha256[:16]}.report.txt"
    assert path.read_bytes() == b"seen"
    assert isinstance(report, Ended)
    assert f'"key":"acme/{FILES}/{path.name}","size":4,"sha256":"{sha256}"'.encode() in report.outcome.body
    assert site.fetcher.disk_bytes == 0


def test_customers_who_share_an_attachment_have_files_of_their_own(site: Site) -> None:
    """Neither takes the other's place."""

    def handler(_payload: Any, context: PartContext) -> Any:
        number = int(context.customer_id[-1])
        return putting(context.customer_id.encode())({"order_no": number}, context)

    site.handler = handler
    site.conclude(job_fields(customers=["c-1", "c-2", "c-3"], attachments=[attachment(site)]))

    assert [path.read_bytes() for path in put_by(site)] == [b"c-1", b"c-2", b"c-3"]


def test_a_later_content_never_takes_the_place_of_an_earlier_one(site: Site) -> None:
    """A run that was thought dead may come back with another file: what the outcome names stays as it is."""
    run(site, putting(b"one"), attachments=[attachment(site)])
    (first,) = put_by(site)
    forget(site)

    run(site, putting(b"other"), attachments=[attachment(site)])

    assert first.read_bytes() == b"one"
    assert len(put_by(site)) == 2


def forget(site: Site) -> None:
    """Let the part be run as if it never was."""
    with site.shards.get("eu1").connect() as connection, connection.begin():
        for statement in ("DELETE FROM orders", "DELETE FROM shardworker_inbox"):
            connection.exec_driver_sql(statement)


def test_in_a_shared_transaction_a_part_that_puts_files_runs_alone(tmp_path: Path) -> None:
    """Nobody else's rows wait for the store."""
    shard = sqlite_shard(tmp_path)
    with shard.connect() as connection, connection.begin(), pytest.raises(NotShareable), lent(connection):
        context_of(connection, Path(__file__)).file_beside(Path(__file__).name, "r.csv")
    shard.close()


def test_while_the_store_is_away_the_part_waits_and_nothing_is_counted(tmp_path: Path) -> None:
    """It is rolled back, comes again with a delay, and is done once when the store is back."""
    site = Site(tmp_path)
    blocked = site.bucket / "acme" / FILES
    blocked.parent.mkdir()
    blocked.touch()  # no folder can be made there
    with capture_logs() as logs:
        report = run(site, putting(), attachments=[attachment(site)])

    assert isinstance(report, Deferral)
    assert (report.code, report.attempt) == ("attachment_unavailable", 0)
    assert report.after > timedelta(seconds=1)
    assert (orders(site.path), inbox_rows(site.path)) == ([], [])
    assert [(line["event"], line["error_kind"]) for line in logs] == [("part.failed", "outside")]

    blocked.unlink()
    assert isinstance(run(site, putting(), attachments=[attachment(site)]), Ended)
    assert (orders(site.path), the_row(site)["attempt"], len(put_by(site))) == ([1], 0, 1)
    site.close()


def test_a_start_of_a_suspect_part_is_taken_back_when_the_store_is_away(tmp_path: Path) -> None:
    """The store killed nobody."""
    site = Site(tmp_path)
    (site.bucket / "acme").mkdir()
    (site.bucket / "acme" / FILES).touch()

    assert isinstance(run(site, putting(), attachments=[attachment(site)], receive_count=9), Deferral)
    assert the_row(site)["starts"] == 0
    site.close()


def test_a_folder_that_leads_out_of_the_partner_s_own_is_not_used(site: Site) -> None:
    """A link may lead anywhere."""
    (site.bucket / "other").mkdir()
    entry = attachment(site)
    (site.bucket / "acme" / FILES).symlink_to(site.bucket / "other")

    report = run(site, putting(), attachments=[entry])

    assert isinstance(report, Ended)
    assert b"attachment_not_allowed" in report.outcome.body
    assert list((site.bucket / "other").iterdir()) == []


class TestRoom:
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        """A bucket."""
        return Bench(tmp_path)

    def test_a_file_takes_room_while_it_is_open(self, bench: Bench) -> None:
        """Together with the attachments, and no more than there is."""
        reference = bench.put("acme/j/a.csv", b"x" * 100)
        fetcher = bench.fetcher(max_disk=100 + BUDGET_STEP_BYTES)
        fetched = fetcher.fetch("j", [reference])
        assert fetched.beside is not None
        opened = fetched.beside.opener("acme", "j.1.c-1", {"a.csv": reference})

        with opened("a.csv", "r.csv") as file:
            file.write(b"x" * BUDGET_STEP_BYTES)
            assert fetcher.disk_bytes == 100 + BUDGET_STEP_BYTES
            with pytest.raises(Reject) as caught:
                file.write(b"x")
        assert caught.value.code == "attachment_too_large"
        assert fetcher.disk_bytes == 100
        fetched.close()
        assert fetcher.disk_bytes == 0
        assert bench.files() == []

    def test_without_room_for_now_the_part_waits(self, bench: Bench) -> None:
        """Other jobs give theirs back."""
        reference = bench.put("acme/j/a.csv", b"x" * 100)
        fetcher = bench.fetcher(max_disk=200 + BUDGET_STEP_BYTES - 1)
        fetched, other = fetcher.fetch("j", [reference]), fetcher.fetch("k", [reference])
        assert fetched.beside is not None
        opened = fetched.beside.opener("acme", "j.1.c-1", {"a.csv": reference})

        with opened("a.csv", "r.csv") as file:
            with pytest.raises(CannotPut) as caught:
                file.write(b"x")
            assert (caught.value.failure.kind, caught.value.failure.code) == (Kind.OUTSIDE, "no_disk_space")
            other.close()
            file.write(b"x")
        fetched.close()

    def test_a_room_that_is_closed_under_a_file_gives_its_bytes_back_once(self, tmp_path: Path) -> None:
        """A thread that was given up may come back later."""
        budget = DiskBudget(100)
        budget.reserve(10)
        room = Room(tmp_path / "room", 10, budget)
        assert room.grow(20)
        room.close()
        room.shrink(20)
        assert not room.grow(1)
        assert budget.taken_bytes == 0


@handles("t")
def careless(payload: dict[str, str], context: PartContext) -> StoredFile | None:
    """Put a file as the payload says."""
    with context.file_beside(payload["attachment"], payload["name"]) as file:
        return file.put()


@pytest.mark.parametrize(
    ("attachment_name", "name", "error"),
    [("b.csv", "r.csv", KeyError), ("a.csv", "../r.csv", ValueError), ("a.csv", "r", ValueError)],
)
def test_a_careless_name_is_refused(attachment_name: str, name: str, error: type[Exception]) -> None:
    """It is part of a key."""
    payload = {"attachment": attachment_name, "name": name}

    with pytest.raises(error):
        run_handler(careless, payload, create_engine("sqlite://"), attachments={"a.csv": b""})
