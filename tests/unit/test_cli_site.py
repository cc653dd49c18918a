"""`setup`, `check`, `handlers` and `explain`: what they say about a site."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from config.headers import OwnHeader
from config.result import Error, failed, succeeded
from tests.support.site import Site, dead_letter, part
from worker.objects.files import DirectoryStore


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path).set_up()


def findings(site: Site, *, exit_code: int, **environment: str) -> dict[tuple[str, str], dict[str, Any]]:
    result = site.run("check", "--json", environment=environment)
    assert result.exit_code == exit_code, result.output
    return {(entry["area"], entry["name"]): entry for entry in json.loads(result.stdout)}


class TestSetup:
    def test_what_is_missing_is_made_and_what_is_there_is_left(self, tmp_path: Path) -> None:
        """Run twice: the second time nothing is made, nothing is lost."""
        site = Site(tmp_path)
        first, second = site.run_json("setup"), site.run_json("setup")

        assert {(step["what"], step["state"]) for step in first} >= {
            ("request queue", "created"),
            ("directory", "created"),
            ("inbox table", "created"),
        }
        assert {step["state"] for step in second} == {"was there"}

    def test_each_schema_of_a_shard_gets_its_inbox(self, tmp_path: Path) -> None:
        """One table for each place that customers live in; a shard without customers has one as well."""
        site = Site(tmp_path, extra=f'\n[shards.eu3]\nurl = "sqlite:///{tmp_path}/eu3.db"\n')
        names = [step["name"] for step in site.run_json("setup") if step["what"] == "inbox table"]

        assert names == ["eu1", "eu2", "eu3"]

    def test_what_cannot_be_made_is_told_and_the_rest_is_made(self, tmp_path: Path) -> None:
        """One broken shard does not keep the others from being set up."""
        site = Site(tmp_path)
        (tmp_path / "eu1.db").mkdir()
        result = site.run("setup")

        assert result.exit_code == 1
        assert "inbox table eu1" in result.stderr
        assert (tmp_path / "eu2.db").is_file()


class TestCheck:
    def test_what_a_queue_cannot_promise_is_doubtful(self, tmp_path: Path) -> None:
        """It does not keep the worker from its work: the exit status is 0."""
        extra = '\n[types."orders.insert"]\ntimeout = "400d"\n[ec2]\ngroup = "workers"\n'
        site = Site(tmp_path, extra=extra).set_up()
        found = findings(site, exit_code=0)
        doubts = {place: entry["text"] for place, entry in found.items() if entry["state"] == "warning"}

        assert doubts.keys() == {("request queue", "requests"), ("request queue", "slow"), ("queues", "all")}
        assert "held for 365d" in doubts["request queue", "slow"]
        assert "Auto Scaling" in doubts["queues", "all"]

    def test_a_site_that_is_set_up_is_all_right(self, site: Site) -> None:
        """Every thing that the file names is looked at."""
        result = site.run("check")
        areas = {area for area, _ in findings(site, exit_code=0)}

        assert result.exit_code == 0
        assert "All is right." in result.stdout
        assert areas == {
            "configuration",
            "request queue",
            "response queue",
            "failure queue",
            "bucket",
            "directory",
            "shard",
            "table",
            "handler",
        }

    def test_nothing_set_up_is_wrong_everywhere_and_says_setup(self, tmp_path: Path) -> None:
        """The newcomer's first `check`."""
        site = Site(tmp_path)
        found = findings(site, exit_code=1)

        for key in [("response queue", "results"), ("shard", "eu1")]:
            assert found[key]["state"] == "wrong"
            assert "shardworker setup" in found[key]["text"]
        assert found["bucket", f"file://{tmp_path}/bucket"]["state"] == "wrong"
        assert not list(tmp_path.glob("*.db"))

    def test_a_bucket_that_takes_no_files_is_wrong_where_bad_rows_are_put_beside_attachments(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else it would be found by the first job that has one."""
        section = (
            "[[handlers.insert]]\ntype = '{}'\ntable = 'orders'\nsource = 'attachments'\non_bad_row = '{}'\n"
        )
        bucket = f"file://{tmp_path}/bucket"
        site = Site(tmp_path, extra="\n" + section.format("lines.fail", "fail")).set_up()
        # root may write everywhere
        monkeypatch.setattr("os.access", lambda path, _mode: Path(path) != tmp_path / "bucket")
        monkeypatch.setattr(DirectoryStore, "check", lambda *_: [])
        assert findings(site, exit_code=0)["bucket", bucket]["state"] == "right"

        site.path.write_text(site.path.read_text() + section.format("lines.skip", "skip"))
        found = findings(site, exit_code=1)["bucket", bucket]

        assert found["state"] == "wrong"
        assert "lines.skip puts its bad rows there" in found["text"]

    def test_a_missing_table_or_column_of_an_insertion_is_wrong(self, site: Site) -> None:
        """Found before the first job meets it, for each place."""
        with closing(sqlite3.connect(site.directory / "eu1.db")) as database, database:
            database.execute("DROP TABLE orders")
        with closing(sqlite3.connect(site.directory / "eu2.db")) as database, database:
            database.execute("ALTER TABLE orders RENAME COLUMN order_no TO number")
        found = findings(site, exit_code=1)

        assert "Create the table" in found["table", "eu1.orders"]["text"]
        assert "no column 'order_no'" in found["table", "eu2.orders"]["text"]

    def test_a_server_that_does_not_answer_is_wrong_and_says_what_to_look_at(self, site: Site) -> None:
        """The driver's own text may hold what is secret, so it is not shown."""
        url = "postgresql+psycopg://me:s3cret@127.0.0.1:1/orders"
        found = findings(site, exit_code=1, SHARDWORKER__SHARDS__EU1__URL=url)["shard", "eu1"]["text"]

        assert "server" in found
        assert "password" in found
        assert "s3cret" not in found

    def test_a_missing_inbox_is_wrong_and_its_tables_are_not_asked_for(self, site: Site) -> None:
        """One line for one cause."""
        with closing(sqlite3.connect(site.directory / "eu1.db")) as database, database:
            database.execute("DROP TABLE shardworker_inbox")
        found = findings(site, exit_code=1)

        assert "no table shardworker_inbox" in found["shard", "eu1"]["text"]
        assert ("table", "eu1.orders") not in found

    def test_handlers_that_cannot_be_loaded_are_wrong(self, site: Site) -> None:
        """The other areas are looked at all the same."""
        found = findings(site, exit_code=1, SHARDWORKER__HANDLERS__MODULES='["no.such.module"]')

        assert "no.such.module" in found["handlers", "all"]["text"]
        assert found["shard", "eu1"]["state"] == "right"

    def test_middleware_that_cannot_be_loaded_is_wrong(self, site: Site) -> None:
        """The worker would not start with it."""
        found = findings(site, exit_code=1, SHARDWORKER__HANDLERS__MIDDLEWARE='["no.such:thing"]')

        assert "no.such:thing" in found["middleware", "all"]["text"]

    def test_grants_and_limits_of_types_without_handler_are_warnings(self, site: Site) -> None:
        """The handler may come with the next release; status 0."""
        found = findings(
            site,
            exit_code=0,
            SHARDWORKER__PARTNERS__ACME__TYPES='["orders.insert", "prices.update"]',
            SHARDWORKER__TYPES='{"stock.count": {}}',
        )

        assert found["partner", "acme"]["state"] == "warning"
        assert "prices.update" in found["partner", "acme"]["text"]
        assert found["job type", "stock.count"]["state"] == "warning"

    def test_warnings_of_the_configuration_are_shown(self, site: Site) -> None:
        """What the start would log."""
        found = findings(site, exit_code=0, SHARDWORKER__PARTNERS__ACME__CUSTOMERS='["c-9"]')

        assert '"c-9"' in found["configuration", str(site.path)]["text"]

    def test_many_places_that_are_right_take_one_line(self, tmp_path: Path) -> None:
        """People look for what is wrong; programs get every line."""
        shards = "".join(f'\n[shards.s{n}]\nurl = "sqlite:///{tmp_path}/s{n}.db"\n' for n in range(30))
        site = Site(tmp_path, extra=shards)
        assert site.run("setup").exit_code == 0

        result = site.run("check")
        assert "32 of them" in result.stdout
        assert len([key for key in findings(site, exit_code=1) if key[0] == "shard"]) == 32


def test_handlers_lists_type_payload_source_and_summary(site: Site) -> None:
    """What a new operator wants to know of this worker."""
    (entry,) = site.run_json("handlers")

    assert entry["type"] == "orders.insert"
    assert "table = 'orders'" in entry["source"]
    assert "orders.insert" in site.run("handlers").stdout
    assert (
        "No job type is handled"
        in site.run("handlers", environment={"SHARDWORKER__HANDLERS__INSERT": "[]"}).stdout
    )


class TestExplain:
    def test_each_part_is_told_with_where_and_how_it_ended(self, site: Site) -> None:
        """From every shard, in the job's order, with the error's code."""
        error = Error(code="unique_violation", message="A row with the same unique key exists already.")
        site.part_store("c-2").fail(part("job-1", "c-2", 1), failed("c-2", error), dead_letter=True)
        site.part_store("c-1").run(part("job-1", "c-1"), lambda _: succeeded("c-1", {"inserted": 1}))
        told = site.run_json("explain", "job-1")
        shown = site.run("explain", "job-1")

        assert [(entry["customer_id"], entry["shard"], entry["state"]) for entry in told["parts"]] == [
            ("c-1", "eu1", "succeeded"),
            ("c-2", "eu2", "failed"),
        ]
        assert told["parts"][1]["error_code"] == "unique_violation"
        assert "2 of 2 parts have begun" in shown.stdout
        assert "unique_violation" in shown.stdout

    def test_what_lies_on_the_failure_queue_is_told(self, site: Site) -> None:
        """Also for a job that no shard knows."""
        header = OwnHeader(code="not_granted", reason="Nothing is granted.", run=1)
        site.send(
            "failures", dead_letter('{"job_id": "job-1"}', header), dead_letter('{"job_id": "job-2"}', header)
        )
        (entry,) = site.run_json("explain", "job-1")["failed_messages"]

        assert entry["code"] == "not_granted"
        assert "Nothing is granted." in site.run("explain", "job-1").stdout

    def test_a_job_that_nobody_knows_is_an_error(self, site: Site) -> None:
        """With a line for people and an empty answer for programs."""
        result = site.run("explain", "job-9", "--json")

        assert result.exit_code == 1
        assert json.loads(result.stdout)["parts"] == []
        assert "Neither a shard nor the failure queue knows the job 'job-9'" in result.stderr

    def test_a_shard_that_cannot_be_asked_is_named_and_the_others_answer(self, site: Site) -> None:
        """Half an answer is an answer, and says that it is half."""
        site.part_store("c-1").run(part("job-1", "c-1"), lambda _: succeeded("c-1", None))
        for file in site.directory.glob("eu2.db*"):
            file.unlink()
        result = site.run("explain", "job-1", "--json")

        assert result.exit_code == 1
        assert len(json.loads(result.stdout)["parts"]) == 1
        assert result.stderr.startswith("shardworker: eu2 cannot be asked: ")

    def test_an_unreadable_failure_queue_is_named_and_the_shards_answer(self, site: Site) -> None:
        """The queue's table is gone, the outcome is still told."""
        site.part_store("c-1").run(part("job-1", "c-1"), lambda _: succeeded("c-1", None))
        (site.directory / "queues.db").unlink()
        result = site.run("explain", "job-1")

        assert result.exit_code == 1
        assert "succeeded" in result.stdout
        assert "failure queue" not in result.stdout
        assert "The failure queue cannot be read" in result.stderr
