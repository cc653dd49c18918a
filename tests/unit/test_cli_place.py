"""`shards place`: with the file as the directory, and with a catalog."""

from pathlib import Path

import pytest

from shards.directory import PlacementState
from shards.migration_steps import LATEST_VERSION
from shards.placement_rows import PlacementRow
from tests.support.moving_site import MovingSite, catalog_site, ended, file_site


@pytest.fixture(name="with_file")
def make_file_site(tmp_path: Path) -> MovingSite:
    return file_site(tmp_path)


@pytest.fixture(name="with_catalog")
def make_catalog_site(tmp_path: Path) -> MovingSite:
    return catalog_site(tmp_path)


class TestPlace:
    def test_all_customers_get_their_rows_where_they_live(self, with_file: MovingSite) -> None:
        """With the directory's epoch; a second time nothing is written."""
        first = ended(with_file.run("shards", "place", "--all"))
        second = ended(with_file.run("shards", "place", "--all"))

        assert "2 placement rows written, 0 were there" in first.stdout
        assert "0 placement rows written, 2 were there" in second.stdout
        assert with_file.row("eu1") == PlacementRow("c-1", 1, PlacementState.ACTIVE)
        assert with_file.row("eu2", "c-2") == PlacementRow("c-2", 1, PlacementState.ACTIVE)
        assert with_file.row("eu2") is None

    def test_a_new_customer_is_entered_in_the_catalog(self, with_catalog: MovingSite) -> None:
        """First its row, then the catalog: it is known only where it can be written."""
        result = ended(with_catalog.run("shards", "place", "c-9", "eu2"))

        assert "is in the catalog" in result.stdout
        assert with_catalog.place("c-9") == ("eu2", 1)
        assert with_catalog.row("eu2", "c-9") == PlacementRow("c-9", 1, PlacementState.ACTIVE)

    def test_the_worker_s_own_tables_are_made_for_a_new_customer(self, with_catalog: MovingSite) -> None:
        """Nobody knew of its place before, so that no migration has been there."""
        (with_catalog.directory / "eu2.db").unlink()
        (with_catalog.directory / "eu2.db").touch()
        ended(with_catalog.run("shards", "place", "c-9", "eu2"))

        assert with_catalog.row("eu2", "c-9") == PlacementRow("c-9", 1, PlacementState.ACTIVE)
        (line,) = with_catalog.run_json("shards", "migrate", "--check", "eu2")
        assert line["old"] == LATEST_VERSION

    def test_a_schema_that_is_not_there_is_told(self, with_catalog: MovingSite) -> None:
        """And the customer stays unknown."""
        result = with_catalog.run("shards", "place", "c-9", "eu2", "--schema", "nowhere")

        assert result.exit_code == 1
        assert "Does the schema exist" in result.stderr
        assert "does not know 'c-9'" in with_catalog.run("shards", "place", "c-9").stderr

    def test_without_a_catalog_the_line_for_the_file_is_told(self, with_file: MovingSite) -> None:
        """It is what the file takes."""
        result = ended(with_file.run("shards", "place", "c-9", "eu2"))

        assert '"c-9" = { shard = "eu2", epoch = 1 }' in result.stdout

    def test_a_customer_with_a_row_elsewhere_is_not_placed(self, with_file: MovingSite) -> None:
        """The directory names another shard than the one where it is active: nothing is written."""
        ended(with_file.run("shards", "place", "--all"))
        text = with_file.path.read_text().replace('c-1 = "eu1"', 'c-1 = "eu2"')
        with_file.path.write_text(text)
        result = with_file.run("shards", "place", "--all")

        assert result.exit_code == 1
        assert "c-1 is not placed: it has a row at eu1 already" in result.stderr
        assert with_file.row("eu2") is None

    def test_a_customer_is_not_placed_while_a_shard_cannot_be_asked(self, with_file: MovingSite) -> None:
        """It may be active there; a customer that has its row is as it was."""
        ended(with_file.run("shards", "place", "c-1"))
        (with_file.directory / "eu2.db").rename(with_file.directory / "away.db")
        result = with_file.run("shards", "place", "--all")

        assert result.exit_code == 1
        assert "eu2 cannot be asked" in result.stderr
        assert "0 placement rows written, 1 were there" in result.stdout

    def test_a_row_with_another_epoch_is_told(self, with_file: MovingSite) -> None:
        """Parts would be refused: the directory is to be corrected."""
        ended(with_file.run("shards", "place", "--all"))
        text = with_file.path.read_text().replace('c-1 = "eu1"', 'c-1 = { shard = "eu1", epoch = 4 }')
        with_file.path.write_text(text)
        result = with_file.run("shards", "place", "c-1")

        assert result.exit_code == 1
        assert "has epoch 1, the directory 4" in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "status", "told"),
        [
            ([], 2, "or --all"),
            (["c-1", "--all"], 2, "or --all"),
            (["c-9"], 1, "with its SHARD"),
            (["c-9", "eu3"], 1, "no shard 'eu3'"),
            (["c-1", "eu2"], 1, "shards move"),
            (["c 9", "eu2"], 1, "without spaces"),
            (["c-9", "eu2", "--schema", "a b"], 1, "letters, digits"),
        ],
    )
    def test_what_cannot_be_placed_is_told(
        self, with_file: MovingSite, arguments: list[str], status: int, told: str
    ) -> None:
        """Nothing is written."""
        result = with_file.run("shards", "place", *arguments)

        assert result.exit_code == status
        assert told in result.stderr
        assert with_file.row("eu1") is None
