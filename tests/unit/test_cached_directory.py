"""Directories over a source that can be away: placements that cannot be used, functions, what is opened."""

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from shards.availability import Availability
from shards.cached_directory import CachedDirectory
from shards.catalog import Scope
from shards.catalog_tables import create_catalog
from shards.directory import (
    BadPlacement,
    DirectoryUnavailable,
    Placement,
    PlacementState,
    PlacementUnusable,
    StaticDirectory,
    checked_placement,
)
from shards.directory_function import DirectoryImportFailed, FunctionSource
from shards.open_directory import NoCatalog, catalog_shard, open_catalog, open_directory
from tests.support.fakes import ManualTime
from tests.support.jobs import settings_in
from tests.support.sources import NotedEvents

SHARDS = ("eu1", "eu2")
HERE = Placement("c-1", "eu1", None, PlacementState.ACTIVE, 1)


class TestCheckedPlacements:
    @pytest.mark.parametrize(
        ("told", "placement"),
        [
            ("eu1", HERE),
            ({"shard": "eu1"}, HERE),
            (HERE, HERE),
            (
                {"shard": "eu2", "schema": "tenant_1", "state": "moving", "epoch": 3},
                Placement("c-1", "eu2", "tenant_1", PlacementState.MOVING, 3),
            ),
        ],
    )
    def test_what_the_file_may_say_any_source_may_say(self, told: object, placement: Placement) -> None:
        """A shard's name, a mapping, or a placement."""
        assert checked_placement("c-1", told, SHARDS) == placement

    @pytest.mark.parametrize(
        ("told", "reason"),
        [
            ("eu9", "The shard 'eu9' is not configured."),
            (Placement("c-2", "eu1", None, PlacementState.ACTIVE, 1), "The placement is another customer's."),
            (Placement("c-1", "eu9", None, PlacementState.ACTIVE, 1), "The shard 'eu9' is not configured."),
            ({"shard": "eu1", "schema": 'x"; DROP TABLE orders; --'}, "schema: "),
            ({"shard": "eu1", "schema": "a.b"}, "schema: "),
            ({"shard": "eu1", "schema": ""}, "schema: "),
            ({"shard": "eu1", "state": "sleeping"}, "state: "),
            ({"shard": "eu1", "epoch": 0}, "epoch: "),
            ({"shard": "eu1", "epoch": True}, "epoch: "),
            ({"shard": None}, "shard: "),
            ({"shard": "eu1", "server": "db1"}, "server: "),
            ({}, "shard: "),
            (7, "Input should be a valid dictionary"),
        ],
    )
    def test_what_cannot_be_used_is_told_and_never_gets_through(self, told: object, reason: str) -> None:
        """An unknown shard, a schema's name that is more than a name, a state that is none."""
        found = checked_placement("c-1", told, SHARDS)
        assert isinstance(found, BadPlacement)
        assert found.reason.startswith(reason)


class TestBadPlacements:
    def test_only_the_jobs_of_that_customer_wait_and_the_log_says_it_once(self) -> None:
        """It is told again only if it was mended in between."""
        time, noted = ManualTime(), NotedEvents()
        good = Placement("c-2", "eu1", None, PlacementState.ACTIVE, 1)
        answers: dict[str, Placement | BadPlacement] = {"c-1": BadPlacement("c-1", "no."), "c-2": good}
        clock = time.clock.monotonic
        directory = CachedDirectory(
            lambda ids: {one: answers[one] for one in ids if one in answers},
            timedelta(seconds=5),
            timedelta(hours=1),
            Availability(noted, clock),
            noted,
            clock,
        )
        for _ in range(3):
            time.pass_time(5)
            with pytest.raises(PlacementUnusable, match="'c-1' cannot be used: no"):
                directory.find(["c-2", "c-1"])
            assert directory.find(["c-2"]) == {"c-2": good}
        assert noted.events == ["bad c-1: no."]

        answers["c-1"] = HERE
        directory.forget(["c-1"])
        assert directory.find(["c-1"]) == {"c-1": HERE}
        answers["c-1"] = BadPlacement("c-1", "no.")
        directory.forget(["c-1"])
        with pytest.raises(PlacementUnusable):
            directory.find(["c-1"])
        assert noted.events == ["bad c-1: no."] * 2


@pytest.fixture(name="module")
def function_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of the company's own, with functions that tell placements."""
    (tmp_path / "company_map.py").write_text(
        "def find(ids):\n"
        "    return {'c-1': 'eu1', 'c-2': {'shard': 'eu9'}, 'c-3': None, 'c-9': 'eu2'}\n"
        "def fail(ids):\n"
        "    raise ConnectionError('secret address')\n"
        "def short(ids):\n"
        "    return ['eu1']\n"
        "nothing = 5\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "company_map"
    sys.modules.pop("company_map", None)


class TestFunctions:
    def test_it_is_asked_for_customers_and_checked(self, module: str) -> None:
        """Who is None or missing is unknown; what was not asked for is not taken."""
        found = FunctionSource(f"{module}:find", SHARDS)(["c-1", "c-2", "c-3", "c-4"])
        assert found == {"c-1": HERE, "c-2": BadPlacement("c-2", "The shard 'eu9' is not configured.")}

    @pytest.mark.parametrize(("name", "said"), [("fail", "raised ConnectionError"), ("short", "a list")])
    def test_one_that_fails_is_away(self, module: str, name: str, said: str) -> None:
        """Whatever it raises, its jobs wait; what it raised may hold a secret and is not told."""
        with pytest.raises(DirectoryUnavailable, match=said) as away:
            FunctionSource(f"{module}:{name}", SHARDS)(["c-1"])
        assert "secret" not in str(away.value)

    @pytest.mark.parametrize("name", ["company_map:missing", "company_map:nothing", "no_such_module:find"])
    def test_one_that_is_not_there_keeps_the_worker_from_starting(self, module: str, name: str) -> None:
        """The message says what was looked for."""
        del module
        with pytest.raises(DirectoryImportFailed, match=name):
            FunctionSource(name, SHARDS)


class Opened:
    """A configuration's directory, and its time."""

    def __init__(self, directory: Path, **section: Any) -> None:
        self.settings: Settings = settings_in(directory, SHARDS, directory=section)
        self.time, self.noted = ManualTime(), NotedEvents()
        opened = open_directory(self.settings, self.noted, self.time.clock.monotonic, lambda: 0.0)
        self.directory, self.grants, self.close = opened.directory, opened.grants, opened.close


class TestOpened:
    def test_without_a_catalog_or_function_it_is_the_file(self, tmp_path: Path) -> None:
        """Also where the file names nobody."""
        opened = Opened(tmp_path)
        assert isinstance(opened.directory, StaticDirectory)
        opened.close()
        with pytest.raises(NoCatalog):
            open_catalog(opened.settings, lambda: 0.0)

    def test_a_function_is_cached(self, tmp_path: Path, module: str) -> None:
        """And its bad placements are told."""
        opened = Opened(tmp_path, function=f"{module}:find")
        assert opened.directory.find(["c-1"]) == {"c-1": HERE}
        with pytest.raises(PlacementUnusable):
            opened.directory.find(["c-2"])
        assert opened.noted.events == ["bad c-2: The shard 'eu9' is not configured."]
        opened.close()

    def test_a_catalog_gives_placements_and_grants_and_both_share_its_absence(self, tmp_path: Path) -> None:
        """One line in the log, one pause for both."""
        opened = Opened(tmp_path, catalog={"url": f"sqlite:///{tmp_path}/catalog.db"}, cache="2s")
        create_catalog(catalog_shard(opened.settings))
        catalog = open_catalog(opened.settings, lambda: 0.0)
        catalog.set_placement("c-1", "eu1", None, PlacementState.ACTIVE)
        catalog.grant("acme", "c-1", "*")
        assert opened.directory.find(["c-1", "c-2"]) == {"c-1": HERE}
        assert opened.grants.refusal("acme", "orders", ["c-1"]) is None

        catalog.pause(Scope.SHARD, "eu1")
        opened.time.pass_time(2)
        assert opened.directory.find(["c-1"])["c-1"].state is PlacementState.PAUSED

        (tmp_path / "catalog.db").rename(tmp_path / "elsewhere.db")
        opened.close()
        opened.time.pass_time(2)
        assert opened.directory.find(["c-1"])["c-1"].state is PlacementState.PAUSED
        assert opened.grants.refusal("acme", "orders", ["c-1"]) is None
        for partner in ("acme", "other"):
            with pytest.raises(DirectoryUnavailable):
                opened.grants.refusal(partner, "orders", ["c-2"])
        (away,) = opened.noted.events
        assert away.startswith("away: The catalog cannot be asked")
        catalog.close()
        opened.close()

    def test_a_worker_does_not_wait_for_a_catalog_as_long_as_a_command(self, tmp_path: Path) -> None:
        """A worker has what it remembers; its time-outs are five seconds at most, or the catalog's own."""
        opened = Opened(tmp_path, catalog={"url": f"sqlite:///{tmp_path}/catalog.db", "lock_timeout": "1s"})
        hurried = catalog_shard(opened.settings, for_workers=True)
        assert (hurried.lock_timeout, hurried.statement_timeout) == (
            timedelta(seconds=1),
            timedelta(seconds=5),
        )
        assert catalog_shard(opened.settings).statement_timeout == timedelta(minutes=5)
