"""`shards move`: with a catalog, and with the file as the directory."""

import shlex
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from shards.catalog import Catalog, Scope
from shards.directory import PlacementState
from shards.open_directory import open_catalog
from shards.placement_rows import PlacementRow
from tests.support.moving_site import MovingSite, catalog_site, ended, file_site
from tests.support.parts import order_work
from tests.support.site import Site, part


@pytest.fixture(name="with_file")
def make_file_site(tmp_path: Path) -> MovingSite:
    return file_site(tmp_path)


@pytest.fixture(name="with_catalog")
def make_catalog_site(tmp_path: Path) -> MovingSite:
    return catalog_site(tmp_path)


def catalog_of(site: Site) -> Catalog:
    """The site's catalog; the caller closes it."""
    return open_catalog(site.settings, time.time)


class TestMoveWithCatalog:
    def test_the_whole_way(self, with_catalog: MovingSite) -> None:
        """Begin, finish with a command for the own data: the catalog has the new place."""
        store = with_catalog.part_store("c-1")
        before = store.run(part("job-1", "c-1"), order_work(1))
        begun = ended(with_catalog.move("--begin"))
        finished = ended(with_catalog.move("--finish", "--sync", with_catalog.copy_command))

        assert "1 inbox rows of 'c-1' are at eu2, 1 new" in begun.stdout
        assert "writers were paused for " in finished.stdout
        assert "The command of --sync took " in finished.stdout
        shard, epoch = with_catalog.place()
        assert shard == "eu2"
        assert epoch > 1
        assert with_catalog.row("eu2") == PlacementRow("c-1", epoch, PlacementState.ACTIVE)
        assert with_catalog.row("eu1") == PlacementRow("c-1", epoch, PlacementState.GONE)
        assert with_catalog.orders("eu2") == [1]
        assert with_catalog.part_store("c-1").run(part("job-1", "c-1"), order_work(1)) == before

    def test_a_finished_move_is_finished(self, with_catalog: MovingSite) -> None:
        """--finish again says so, --begin and --abort are refused."""
        ended(with_catalog.move("--begin"))
        ended(with_catalog.move("--finish"))

        assert "lives at eu2" in ended(with_catalog.move("--finish")).stdout
        for action in ("--begin", "--abort"):
            result = with_catalog.move(action)
            assert result.exit_code == 1
            assert "lives at eu2 already" in result.stderr

    @pytest.mark.parametrize("command", ["false", "/not/there", "'"])
    def test_a_failing_command_leaves_the_customer_where_it_was(
        self, with_catalog: MovingSite, command: str
    ) -> None:
        """It goes on there at once; the move can be finished later."""
        ended(with_catalog.move("--begin"))
        result = with_catalog.move("--finish", "--sync", command)

        assert result.exit_code == 1
        assert "The command of --sync" in result.stderr
        assert with_catalog.row("eu1") == PlacementRow("c-1", 1, PlacementState.ACTIVE)
        assert with_catalog.place() == ("eu1", 1)
        ended(with_catalog.move("--finish"))
        assert with_catalog.place()[0] == "eu2"

    def test_the_command_knows_who_moves_where(self, with_catalog: MovingSite) -> None:
        """By its environment, and no secret is in there."""
        script, out = with_catalog.directory / "env.py", with_catalog.directory / "env"
        script.write_text(
            "import os, sys; names = [n for n in os.environ if n.startswith('SHARDWORKER_MOVE_')]\n"
            "open(sys.argv[1], 'w').write(' '.join(f'{n}={os.environ[n]}' for n in sorted(names)))"
        )
        ended(with_catalog.move("--begin"))
        ended(with_catalog.move("--finish", "--sync", shlex.join([sys.executable, str(script), str(out)])))

        assert out.read_text().split() == [
            "SHARDWORKER_MOVE_CUSTOMER=c-1",
            "SHARDWORKER_MOVE_SOURCE_SCHEMA=",
            "SHARDWORKER_MOVE_SOURCE_SHARD=eu1",
            "SHARDWORKER_MOVE_TARGET_SCHEMA=",
            "SHARDWORKER_MOVE_TARGET_SHARD=eu2",
        ]

    def test_a_paused_customer_stays_paused(self, with_catalog: MovingSite) -> None:
        """The operator's pause is a control: it is neither lost nor written into the placement."""
        with closing(catalog_of(with_catalog)) as catalog:
            catalog.pause(Scope.CUSTOMER, "c-1")
            ended(with_catalog.move("--begin"))
            result = ended(with_catalog.move("--finish"))
            assert catalog.find(["c-1"])["c-1"]["state"] == "paused"
            catalog.resume(Scope.CUSTOMER, "c-1")
            told = catalog.find(["c-1"])["c-1"]

        assert "its jobs wait until that is changed" in result.stdout
        assert (told["state"], told["shard"]) == ("active", "eu2")

    def test_a_catalog_that_is_away_is_told_by_the_same_command_later(self, with_catalog: MovingSite) -> None:
        """The customer has arrived, and waits until the catalog says so."""
        ended(with_catalog.move("--begin"))
        path, hidden = (with_catalog.directory / name for name in ("catalog.db", "hidden.db"))
        hide = shlex.join(["mv", str(path), str(hidden)])
        result = with_catalog.move("--finish", "--sync", hide)
        hidden.rename(path)

        assert result.exit_code == 1
        assert "Run --finish again" in result.stderr
        assert with_catalog.place() == ("eu1", 1)
        ended(with_catalog.move("--finish"))
        row = with_catalog.row("eu2")
        assert row is not None
        assert with_catalog.place() == ("eu2", row.epoch)

    def test_an_abort_takes_everything_back(self, with_catalog: MovingSite) -> None:
        """And says where the customer lives."""
        ended(with_catalog.move("--begin"))
        result = ended(with_catalog.move("--abort"))

        assert "'c-1' lives at eu1, as before" in result.stdout
        assert with_catalog.place() == ("eu1", 1)
        assert with_catalog.move("--finish").exit_code == 1


class TestMoveWithFile:
    def test_the_line_for_the_file_is_told(self, with_file: MovingSite) -> None:
        """Once every worker has it, the customer's parts run; the same command says that it is done."""
        ended(with_file.run("shards", "place", "--all"))
        ended(with_file.move("--begin"))
        finished = ended(with_file.move("--finish"))
        row = with_file.row("eu2")
        assert row is not None
        line = f'"c-1" = {{ shard = "eu2", epoch = {row.epoch} }}'
        assert line in finished.stdout
        with_file.path.write_text(with_file.path.read_text().replace('c-1 = "eu1"', line))

        assert "lives at eu2" in ended(with_file.move("--finish")).stdout

    def test_a_file_that_was_changed_too_early_is_told(self, with_file: MovingSite) -> None:
        """Before --finish nothing is active there."""
        ended(with_file.run("shards", "place", "--all"))
        ended(with_file.move("--begin"))
        with_file.path.write_text(with_file.path.read_text().replace('c-1 = "eu1"', 'c-1 = "eu2"'))
        result = with_file.move("--finish")

        assert result.exit_code == 1
        assert "Change it back" in result.stderr

    def test_a_customer_is_not_moved_where_nobody_checks(self, tmp_path: Path) -> None:
        """Without placement rows a move would lose what is written meanwhile."""
        site = MovingSite(tmp_path)
        site.set_up()
        result = site.move("--begin")

        assert result.exit_code == 1
        assert "placement_rows is off" in result.stderr

    def test_the_worker_s_own_tables_are_made_at_the_target(self, with_file: MovingSite) -> None:
        """A new schema or database needs no command of its own."""
        ended(with_file.run("shards", "place", "--all"))
        (with_file.directory / "eu2.db").unlink()
        (with_file.directory / "eu2.db").touch()
        ended(with_file.move("--begin"))

        row = with_file.row("eu2")
        assert row is not None
        assert row.state is PlacementState.MOVING

    def test_a_target_that_is_not_there_is_told(self, with_file: MovingSite) -> None:
        """Before anything is written."""
        ended(with_file.run("shards", "place", "--all"))
        (with_file.directory / "eu2.db").unlink()
        result = with_file.move("--begin")

        assert result.exit_code == 1
        assert "'eu2' cannot be checked" in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "status", "told"),
        [
            (["c-1", "eu2"], 2, "one of --begin"),
            (["c-1", "eu2", "--begin", "--abort"], 2, "one of --begin"),
            (["c-1", "eu2", "--begin", "--sync", "true"], 2, "belongs to --finish"),
            (["c-1", "eu2", "--finish", "--wait", "soon"], 2, "soon"),
            (["c-7", "eu2", "--begin"], 1, "does not know the customer 'c-7'"),
            (["c-1", "eu3", "--begin"], 1, "no shard 'eu3'"),
            (["c-1", "eu2", "--begin"], 1, "shards place"),
            (["c-1", "eu2", "--finish"], 1, "shards place"),
        ],
    )
    def test_what_cannot_be_moved_is_told(
        self, with_file: MovingSite, arguments: list[str], status: int, told: str
    ) -> None:
        """Nothing is written."""
        result = with_file.run("shards", "move", *arguments)

        assert result.exit_code == status
        assert told in result.stderr
        assert with_file.row("eu2") is None
