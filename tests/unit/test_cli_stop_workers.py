"""`shardworker stop-workers`: which mark it sets, and where; what it cannot do without a catalog."""

import socket
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from shards.open_directory import open_catalog
from tests.support.site import Site
from worker.stop_marks import EVERYBODY, FileStopMarks

HERE = socket.gethostname()
NAMES = (EVERYBODY, HERE, "elsewhere", "elsewhere:7", f"{HERE}:7")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site with a catalog."""
    catalog = f'\n[directory.catalog]\nurl = "sqlite:///{tmp_path}/catalog.db"\n'
    site = Site(tmp_path)
    text = site.path.read_text().partition("[directory.customers]")
    site.path.write_text(text[0] + "[partners.acme]" + text[2].partition("[partners.acme]")[2] + catalog)
    assert site.run("setup").exit_code == 0
    return site


def marked(site: Site) -> set[str]:
    """The names that the catalog has marks of."""
    with closing(open_catalog(site.settings, lambda: 0.0)) as catalog:
        return set(catalog.find_stop_marks(NAMES))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [([], EVERYBODY), (["--host", "elsewhere"], "elsewhere"), (["--instance", "elsewhere:7"], "elsewhere:7")],
)
def test_the_catalog_gets_the_mark_of_whom_is_meant(site: Site, arguments: Sequence[str], name: str) -> None:
    """All, one host's or one; nothing of it lies on this machine."""
    result = site.run("stop-workers", *arguments)

    assert result.exit_code == 0, result.output
    assert "drains within 5s" in result.stdout
    assert marked(site) == {name}
    assert not (site.directory / "stop-workers").exists()


def test_a_catalog_that_is_away_is_an_error(site: Site) -> None:
    """Nobody is told to stop: the command has to say so."""
    (site.directory / "catalog.db").unlink()
    result = site.run("stop-workers")

    assert result.exit_code == 1
    assert "The catalog cannot be asked" in result.stderr


class TestWithoutACatalog:
    @pytest.mark.parametrize("arguments", [[], ["--host", "elsewhere"], ["--instance", "elsewhere:7"]])
    def test_other_hosts_cannot_be_told(self, tmp_path: Path, arguments: list[str]) -> None:
        """Status 1, and what to type on each of them: half of them stopped is worse than none."""
        result = Site(tmp_path).run("stop-workers", *arguments)

        assert result.exit_code == 1
        assert f"stop-workers --host {HERE}" in result.stderr
        assert not (tmp_path / "stop-workers").exists()

    @pytest.mark.parametrize("arguments", [["--host", HERE], ["--instance", f"{HERE}:7"]])
    def test_this_host_is_told_by_the_state_directory(self, tmp_path: Path, arguments: list[str]) -> None:
        """Where its workers look."""
        assert Site(tmp_path).run("stop-workers", *arguments).exit_code == 0
        assert set(FileStopMarks(tmp_path).find_stop_marks(NAMES)) == {arguments[1]}

    def test_a_state_directory_that_cannot_be_written_to_is_an_error(self, tmp_path: Path) -> None:
        """Another user's, say."""
        (tmp_path / "stop-workers").write_text("a file")
        result = Site(tmp_path).run("stop-workers", "--host", HERE)

        assert result.exit_code == 1
        assert "cannot be written" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--host", "a", "--instance", "a:1"],
        ["--instance", "elsewhere"],
        ["--host", "elsewhere:7"],
        ["--host", "*"],
        ["--host", "../elsewhere"],
        ["--host", ""],
    ],
)
def test_what_names_nobody_is_wrong_usage(site: Site, arguments: list[str]) -> None:
    """Before anything is marked."""
    assert site.run("stop-workers", *arguments).exit_code == 2
    assert marked(site) == set()
