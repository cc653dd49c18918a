"""The commands where customers stand in a catalog or are told by a function."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from config.settings import Settings
from shards.catalog import Catalog
from shards.directory import DirectoryUnavailable, PlacementState
from shards.directory_function import DirectoryImportFailed
from shards.open_directory import open_catalog, open_directory
from tests.support.site import Site
from tests.support.sources import NotedEvents
from worker.cli.errors import EXIT_CONFIGURATION, exit_status
from worker.cli.places import Place, inbox_places, own_schemas

ACTIVE, GONE = PlacementState.ACTIVE, PlacementState.GONE


class CatalogSite(Site):
    """A site with a catalog in place of the file's map."""

    source = '[directory.catalog]\nurl = "sqlite:///{directory}/catalog.db"\n'

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        text = self.path.read_text(encoding="utf-8")
        own = '[directory.customers]\nc-1 = "eu1"\nc-2 = "eu2"\n'
        assert own in text
        self.path.write_text(text.replace(own, self.source.format(directory=directory)), encoding="utf-8")

    def catalog(self) -> Catalog:
        """The catalog; the caller closes it."""
        return open_catalog(self.settings, time.time)

    def states(self, area: str) -> list[tuple[str, str]]:
        """State and text of each finding of `check` in this area."""
        result = self.run("check", "--json")
        return [(one["state"], one["text"]) for one in _findings(result.stdout) if one["area"] == area]


class FunctionSite(CatalogSite):
    """A site whose customers a function tells."""

    source = '[directory]\nfunction = "site_map:find"\n'


def _findings(output: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(output)
    return found


@pytest.fixture(name="site")
def catalog_site(tmp_path: Path) -> CatalogSite:
    return CatalogSite(tmp_path)


class TestCatalog:
    def test_setup_makes_the_catalog_and_an_inbox_wherever_it_places_a_customer(
        self, site: CatalogSite
    ) -> None:
        """Once made it is left as it is; a customer that is gone needs no inbox any more."""
        steps = {step["name"]: step["state"] for step in site.run_json("setup")}
        assert steps["catalog"] == "created"
        assert {step["name"]: step["state"] for step in site.run_json("setup")}["catalog"] == "was there"
        with closing(site.catalog()) as catalog:
            catalog.set_placement("c-1", "eu1", None, ACTIVE)
            catalog.set_placement("c-2", "eu2", "main", ACTIVE)
            catalog.set_placement("c-3", "eu2", "lost", GONE)

        own = [Place("eu1", None, ("c-1",)), Place("eu2", "main", ("c-2",))]
        assert inbox_places(site.settings) == own
        assert Place("eu2", "lost", ("c-3",)) in inbox_places(site.settings, with_gone=True)

    def test_check_tells_what_is_wrong_with_the_catalog_and_still_looks_at_the_shards(
        self, site: CatalogSite
    ) -> None:
        """Before `setup`, after it, and with a placement that no worker could use."""
        ((state, text), *_) = site.states("directory of customers")
        assert state == "wrong"
        assert "catalog" in text
        assert len(site.states("shard")) == 2

        site.set_up()
        assert site.states("directory of customers") == [("right", "")]
        with closing(site.catalog()) as catalog:
            catalog.set_placement("c-1", "eu9", None, ACTIVE)
        assert site.states("directory of customers") == [
            ("wrong", "The placement of 'c-1' cannot be used: The shard 'eu9' is not configured.")
        ]

    def test_without_the_catalog_nothing_is_said_of_its_customers(self, site: CatalogSite) -> None:
        """The places are not known; `explain` says so and still asks the shards."""
        with pytest.raises(DirectoryUnavailable):
            inbox_places(site.settings)
        explained = site.run("explain", "job-1")
        assert explained.exit_code == 1
        assert "The catalog cannot be asked" in explained.stderr


@pytest.fixture(name="function_site")
def make_function_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FunctionSite]:
    (tmp_path / "site_map.py").write_text("def find(ids):\n    return {}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield FunctionSite(tmp_path)
    sys.modules.pop("site_map", None)


class TestFunction:
    def test_it_cannot_be_listed_and_the_commands_say_so(self, function_site: FunctionSite) -> None:
        """Each shard's own schema is looked at, whoever lives there."""
        site = function_site.set_up()
        settings: Settings = site.settings
        assert inbox_places(settings) == own_schemas(settings)
        ((state, text),) = function_site.states("directory of customers")
        assert (state, "cannot be listed" in text) == ("warning", True)
        assert "cannot be listed" in site.run("explain", "job-1").stderr

    def test_one_that_cannot_be_imported_is_wrong(self, function_site: FunctionSite) -> None:
        """`check` tells what `consume` would refuse to start with."""
        text = function_site.path.read_text(encoding="utf-8")
        function_site.path.write_text(text.replace("site_map:find", "site_map:missing"), encoding="utf-8")
        ((state, text),) = function_site.states("directory of customers")
        assert (state, "site_map:missing" in text) == ("wrong", True)
        with pytest.raises(DirectoryImportFailed) as refused:
            open_directory(function_site.settings, NotedEvents(), time.monotonic, time.time)
        assert exit_status(refused.value) == EXIT_CONFIGURATION
