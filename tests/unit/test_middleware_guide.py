"""The guide to middleware: its program runs, its links stand around real parts, its settings load."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from handlers import PartContext, registry
from tests.support.core import Site, insert_order
from tests.support.executing import code_of, raising, run
from tests.support.jobs import orders
from worker import middleware_names
from worker.conclusion import Deferral
from worker.reports import Ended

GUIDE = (Path(__file__).parents[2] / "docs" / "middleware.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.usefixtures("quiet")


def blocks(kind: str) -> list[str]:
    return [body for opened, body in BLOCK.findall(GUIDE) if opened == kind]


@pytest.fixture(name="names", scope="module")
def run_the_program() -> dict[str, Any]:
    """What the guide's program leaves; its own assertions have held."""
    names: dict[str, Any] = {"__name__": "guide"}
    exec(compile("\n".join(blocks("python")), "docs/middleware.md", "exec"), names)  # noqa: S102 - our own
    return names


def test_its_links_stand_around_real_parts(names: dict[str, Any], tmp_path: Path) -> None:
    """The first one tells of what takes long, and nothing of what does not."""
    told: list[str] = []
    site = Site(tmp_path)
    links = [names["SlowParts"](10.0, site.time.clock.monotonic, told.append), names["stock_is_counted"]]
    site.executor._middleware = links

    def slow(payload: Any, context: PartContext) -> Any:
        site.time.pass_time(11)
        return insert_order(payload, context)

    assert isinstance(run(site, slow), Ended)
    assert isinstance(run(site, job_id="job-2", payload={"order_no": 2}), Ended)
    assert (orders(tmp_path), told) == ([1, 2], ["orders.insert of job job-1 took 11 s"])


def test_its_links_refuse_and_translate(names: dict[str, Any], tmp_path: Path) -> None:
    """A part that has to wait is tried again, an error of a library gets a code of its own."""
    site = Site(tmp_path, [names["stock_is_counted"]])
    names["COUNTED_NOW"].add("c-1")
    waiting = run(site)
    names["COUNTED_NOW"].clear()

    assert isinstance(waiting, Deferral)
    assert (waiting.code, waiting.attempt) == ("retry_requested", 1)
    assert code_of(run(site, raising(names["PriceListMissing"]()))) == "no_price_list"
    assert orders(tmp_path) == []


def test_its_settings_load() -> None:
    """Each section that it shows is one, with the keys that it has."""
    sections = [tomllib.loads(block) for block in blocks("toml")]
    queues = {"request": ["sqs://requests"], "response": "sqs://results", "failure": "sqs://failures"}
    shown = [section for section in sections if "project" not in section]

    assert [sorted(section) for section in shown] == [["handlers"], ["rate_limits"]]
    for section in shown:
        Settings.model_validate({"queues": queues, **section})


def test_its_entry_points_are_those_that_are_looked_for() -> None:
    """A package that copies them is found."""
    (section,) = [tomllib.loads(block) for block in blocks("toml") if "entry-points" in block]

    assert list(section["project"]["entry-points"]) == [
        middleware_names.ENTRY_POINT_GROUP,
        registry.ENTRY_POINT_GROUP,
    ]


def test_it_says_where_each_of_symfony_s_is() -> None:
    """The table and what the worker says to whoever names one in the list are about the same."""
    table = GUIDE.split("## Symfony's, beside ours\n", 1)[1]
    named = {name for line in table.splitlines() for name in re.findall(r"`(\w+)`", line.split(" | ")[0])}
    own_words = {"transaction", "rate_limiter"}

    assert named == middleware_names.SYMFONY_NAMES.keys() - own_words
