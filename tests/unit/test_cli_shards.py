"""`shards migrate`, `purge`, `pause` and `resume`: what they do on a site and what they say."""

import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from config.result import succeeded
from shards.migration_steps import LATEST_VERSION
from tests.support.site import Site, part

CATALOG = """
[directory]
customers = {{}}
catalog = {{ url = "sqlite:///{directory}/catalog.db" }}
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path).set_up()


def run_sql(site: Site, shard: str, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(site.directory / f"{shard}.db")) as database, database:
        return database.execute(statement).fetchall()


def make_old(site: Site, shard: str) -> None:
    """An inbox as it was before there were versions."""
    run_sql(site, shard, "DROP TABLE shardworker_version")
    run_sql(site, shard, "DROP TABLE shardworker_placement")


class TestMigrate:
    def test_all_shards_are_migrated_and_again_without_a_change(self, site: Site) -> None:
        """A line for each place, from which version to which."""
        make_old(site, "eu2")
        first, second = site.run_json("shards", "migrate"), site.run_json("shards", "migrate")

        told = {line["place"]: (line["old"], line["new"], line["error"]) for line in first}
        assert told == {
            "eu1": (LATEST_VERSION, LATEST_VERSION, None),
            "eu2": (0, LATEST_VERSION, None),
        }
        assert {(line["old"], line["new"]) for line in second} == {(LATEST_VERSION, LATEST_VERSION)}

    def test_one_shard_can_be_named(self, site: Site) -> None:
        """The others are left as they are."""
        make_old(site, "eu1")
        make_old(site, "eu2")
        result = site.run("shards", "migrate", "eu2")

        assert result.exit_code == 0
        assert f"eu2: 0 -> {LATEST_VERSION}" in result.stdout
        assert "eu1" not in result.stdout

    def test_an_unknown_shard_is_refused_with_a_suggestion(self, site: Site) -> None:
        """Nothing is done for the others either."""
        result = site.run("shards", "migrate", "eu3")

        assert result.exit_code == 1
        assert "There is no shard 'eu3'. Did you mean 'eu" in result.stderr

    def test_what_fails_is_told_at_the_end_and_the_rest_is_done(self, site: Site) -> None:
        """One shard that is away keeps nobody waiting; the next run does it."""
        make_old(site, "eu2")
        (site.directory / "eu1.db").rename(site.directory / "away.db")
        result = site.run("shards", "migrate")

        assert result.exit_code == 1
        assert f"eu2: 0 -> {LATEST_VERSION}" in result.stdout
        assert result.stderr.startswith("shardworker: eu1: ")

    def test_check_tells_what_is_behind_and_changes_nothing(self, site: Site) -> None:
        """A deployment can stop there."""
        assert site.run("shards", "migrate", "--check").exit_code == 0
        make_old(site, "eu2")
        results = [site.run("shards", "migrate", "--check") for _ in range(2)]

        assert [result.exit_code for result in results] == [1, 1]
        assert "1 places are behind" in results[0].stderr

    def test_sql_is_what_would_be_run_and_changes_nothing(self, site: Site) -> None:
        """Given to a DBA, it makes the place that the runner would have made."""
        make_old(site, "eu2")
        result = site.run("shards", "migrate", "--sql", "eu2")
        assert site.run("shards", "migrate", "--check").exit_code == 1
        with closing(sqlite3.connect(site.directory / "eu2.db")) as database:
            database.executescript(result.stdout)

        assert result.exit_code == 0
        assert "-- eu2 (sqlite): version 0" in result.stdout
        assert site.run("shards", "migrate", "--check").exit_code == 0

    @pytest.mark.parametrize("dialect", ["postgresql", "mariadb", "sqlite"])
    def test_the_sql_of_a_dialect_needs_no_configuration(self, site: Site, dialect: str) -> None:
        """It can be read before there is anything."""
        site.path.unlink()
        result = site.run("shards", "migrate", "--sql", "--dialect", dialect)

        assert result.exit_code == 0
        assert result.stdout.count("CREATE TABLE") == 3

    def test_a_dialect_alone_is_wrong_usage(self, site: Site) -> None:
        """It would not be what it looks like."""
        assert site.run("shards", "migrate", "--dialect", "sqlite").exit_code == 2


class TestPurge:
    def old_part(self, site: Site, job_id: str, days: int) -> None:
        """A part that was done so many days ago."""
        site.part_store("c-1").run(part(job_id, "c-1"), lambda _: succeeded("c-1", None))
        age = round(timedelta(days=days).total_seconds() * 1_000_000)
        with closing(sqlite3.connect(site.directory / "eu1.db")) as database, database:
            statement = (
                "UPDATE shardworker_inbox SET created_at = created_at - :age,"
                " finished_at = finished_at - :age WHERE job_id = :job_id"
            )
            database.execute(statement, {"age": age, "job_id": job_id})

    def test_rows_older_than_the_retention_and_a_day_go(self, site: Site) -> None:
        """By default nothing else does."""
        for days in (0, 29, 30, 32, 90):
            self.old_part(site, f"job-{days}", days)
        dry = site.run_json("shards", "purge", "--dry-run")
        wet = site.run_json("shards", "purge")

        assert {line["place"]: line["rows"] for line in dry} == {"eu1": 2, "eu2": 0}
        assert {line["place"]: line["rows"] for line in wet} == {"eu1": 2, "eu2": 0}
        left = run_sql(site, "eu1", "SELECT job_id FROM shardworker_inbox ORDER BY created_at")
        assert left == [("job-30",), ("job-29",), ("job-0",)]

    def test_more_can_be_kept_and_never_less(self, site: Site) -> None:
        """A row that a copy can still ask for is not deleted, whatever is asked."""
        self.old_part(site, "job-40", 40)
        refused = site.run("shards", "purge", "--older-than", "30d")

        assert refused.exit_code == 1
        assert "would run a second time" in refused.stderr
        assert "0 rows deleted in 2 places" in site.run("shards", "purge", "--older-than", "60d").stdout
        assert "1 rows deleted in 2 places" in site.run("shards", "purge", "--older-than", "35d").stdout

    def test_a_shard_that_is_away_is_told_and_the_others_are_purged(self, site: Site) -> None:
        """The next run does it."""
        self.old_part(site, "job-40", 40)
        (site.directory / "eu2.db").rename(site.directory / "away.db")
        result = site.run("shards", "purge")

        assert result.exit_code == 1
        assert "eu1: 1 rows deleted" in result.stdout
        assert result.stderr.startswith("shardworker: eu2: ")


class TestPauseAndResume:
    @pytest.fixture
    def site(self, tmp_path: Path) -> Site:
        """A site whose customers are in a catalog."""
        site = Site(tmp_path)
        text = site.path.read_text(encoding="utf-8")
        before, _, after = text.partition("[directory.customers]")
        _, _, rest = after.partition("[partners.acme]")
        catalog = CATALOG.format(directory=tmp_path)
        site.path.write_text(f"{before}{catalog}\n[partners.acme]{rest}", encoding="utf-8")
        site.run("setup")
        with closing(sqlite3.connect(tmp_path / "catalog.db")) as database, database:
            for customer, shard in [("c-1", "eu1"), ("c-2", "eu2"), ("eu2", "eu2")]:
                database.execute(
                    "INSERT INTO customers (customer_id, shard, schema_name, state, epoch, version)"
                    " VALUES (?, ?, NULL, 'active', 1, 1)",
                    (customer, shard),
                )
        return site

    def controls(self, site: Site) -> list[tuple[object, ...]]:
        """What the catalog holds for all workers."""
        with closing(sqlite3.connect(site.directory / "catalog.db")) as database:
            return database.execute("SELECT scope, name, action FROM controls").fetchall()

    @pytest.mark.parametrize(("name", "scope"), [("eu1", "shard"), ("c-1", "customer")])
    def test_a_shard_or_a_customer_is_paused_and_resumed(self, site: Site, name: str, scope: str) -> None:
        """The name tells which it is."""
        paused = site.run("shards", "pause", name)
        assert paused.exit_code == 0, paused.output
        assert self.controls(site) == [(scope, name, "pause")]
        assert "within 5s" in paused.stdout

        assert site.run("shards", "resume", name).exit_code == 0
        assert self.controls(site) == []

    def test_what_is_not_paused_cannot_be_resumed(self, site: Site) -> None:
        """A slip of the pen is not taken for done."""
        result = site.run("shards", "resume", "c-1")

        assert (result.exit_code, "is not paused" in result.stderr) == (1, True)

    def test_a_name_of_both_needs_to_be_told_apart(self, site: Site) -> None:
        """A shard may be called as a customer is."""
        unclear = site.run("shards", "pause", "eu2")
        assert (unclear.exit_code, "--customer" in unclear.stderr) == (1, True)

        assert site.run("shards", "pause", "eu2", "--customer").exit_code == 0
        assert self.controls(site) == [("customer", "eu2", "pause")]

    @pytest.mark.parametrize("option", [[], ["--shard"], ["--customer"]])
    def test_an_unknown_name_is_refused_with_a_suggestion(self, site: Site, option: list[str]) -> None:
        """A pause of nothing would look like one."""
        result = site.run("shards", "pause", "eu22", *option)

        assert result.exit_code == 1
        assert "Did you mean 'eu2'?" in result.stderr
        assert self.controls(site) == []

    def test_who_is_stopped_is_listed(self, site: Site) -> None:
        """A paused shard in its line, a paused customer below the table: what `resume` can take back."""
        site.run("shards", "pause", "eu1")
        site.run("shards", "pause", "c-2")
        listed = site.run("shards", "list").stdout

        assert [row["state"] for row in site.run_json("shards", "list")] == ["paused", "active"]
        assert listed.splitlines()[-1] == "The customer c-2 is paused."

    def test_without_a_catalog_it_is_told_what_to_write(self, tmp_path: Path) -> None:
        """For a customer, whole; for a shard; a name of nothing is refused all the same."""
        site = Site(tmp_path)
        text = site.path.read_text(encoding="utf-8")
        placed = 'c-1 = { shard = "eu1", schema = "main", epoch = 7 }'
        assert 'c-1 = "eu1"' in text
        site.path.write_text(text.replace('c-1 = "eu1"', placed), encoding="utf-8")
        customer, shard, unknown = (site.run("shards", "pause", name) for name in ("c-1", "eu1", "c-11"))

        assert [result.exit_code for result in (customer, shard, unknown)] == [1, 1, 1]
        line = '"c-1" = { shard = "eu1", schema = "main", state = "paused", epoch = 7 }'
        assert line in customer.stderr
        assert "each customer of the shard" in shard.stderr
        assert "Did you mean 'c-1'?" in unknown.stderr


def test_json_is_one_line_for_programs(site: Site) -> None:
    """Nothing else is on standard output."""
    result = site.run("shards", "migrate", "--json")

    assert len(json.loads(result.stdout)) == 2
