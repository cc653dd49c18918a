"""`shards list` and `shards check`: what they say of a site."""

import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shards.migration_steps import LATEST_VERSION
from tests.support.site import Site
from worker.status_file import LaneStatus, StatusFile, WorkerStatus

AT = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path).set_up()


class TestList:
    def test_each_shard_is_a_row_with_what_it_answers(self, site: Site) -> None:
        """Asked now: its inbox's version and how fast it is. No worker runs here."""
        rows = site.run_json("shards", "list")

        assert [row["shard"] for row in rows] == ["eu1", "eu2"]
        for row in rows:
            assert (row["dialect"], row["state"], row["places"]) == ("sqlite", "active", 1)
            assert (row["version"], row["error"], row["breaker"]) == (LATEST_VERSION, None, None)
            assert 0 <= row["latency_ms"] < 10_000

    def test_a_shard_that_is_away_is_a_row_like_the_others(self, site: Site) -> None:
        """The command has done what was asked: it tells."""
        (site.directory / "eu1.db").rename(site.directory / "away.db")
        away, well = site.run_json("shards", "list")

        assert (away["version"], away["latency_ms"]) == (None, None)
        assert "cannot be asked now" in away["error"]
        assert well["error"] is None

    def test_what_the_workers_of_this_machine_say_stands_beside_it(self, site: Site) -> None:
        """All of them together; a shard that none has met has nothing."""
        lanes = {"eu1": LaneStatus(waiting=3, running=2, away=True)}
        StatusFile(site.directory).write(WorkerStatus(os.getpid(), "host:1", AT, 5, lanes))
        met, unmet = site.run_json("shards", "list")

        assert (met["waiting"], met["running"], met["breaker"]) == (3, 2, "open")
        assert (unmet["waiting"], unmet["running"], unmet["breaker"]) == (None, None, None)
        assert "2 shards, 1 workers on this machine" in site.run("shards", "list").stdout


class TestCheck:
    def test_a_site_that_is_set_up_is_all_right(self, site: Site) -> None:
        """One finding for each place."""
        found = site.run_json("shards", "check")

        assert [(one["area"], one["name"], one["state"]) for one in found] == [
            ("shard", "eu1", "right"),
            ("shard", "eu2", "right"),
        ]

    def test_what_is_wrong_makes_the_status_1(self, site: Site) -> None:
        """Of the shard that was asked for, and no other."""
        with closing(sqlite3.connect(site.directory / "eu2.db")) as database, database:
            database.execute("DROP TABLE shardworker_placement")
        results = [site.run("shards", "check", name, "--json") for name in ("eu1", "eu2")]

        assert [result.exit_code for result in results] == [0, 1]
        (wrong,) = json.loads(results[1].stdout)
        assert (wrong["name"], wrong["state"]) == ("eu2", "wrong")
        assert "shardworker shards migrate" in wrong["text"]

    def test_a_shard_that_does_not_answer_is_told_with_what_to_look_at(self, site: Site) -> None:
        """The driver's own text may hold what is secret, so it is not shown."""
        url = "postgresql+psycopg://me:s3cret@127.0.0.1:1/orders"
        environment = {"SHARDWORKER__SHARDS__EU1__URL": url}
        result = site.run("shards", "check", "eu1", environment=environment)

        assert result.exit_code == 1
        assert "Does its server run" in " ".join(result.stdout.split())
        assert "s3cret" not in result.output

    def test_an_unknown_shard_is_refused(self, site: Site) -> None:
        """A check of nothing would be all right."""
        result = site.run("shards", "check", "eu9")

        assert (result.exit_code, "There is no shard 'eu9'" in result.stderr) == (1, True)
