"""The guide for handlers' authors: its programs run and its configuration is valid."""

import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from config.settings import Handlers
from handlers.registry import load_registry

GUIDE = Path(__file__).parents[2] / "docs" / "handlers.md"


def blocks(language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


@pytest.fixture
def guide(tmp_path: Path) -> Iterator[ModuleType]:
    """The guide's Python blocks as one module, imported."""
    path = tmp_path / "handlers_guide.py"
    path.write_text("\n\n".join(blocks("python")), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("handlers_guide", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["handlers_guide"] = module
    spec.loader.exec_module(module)
    yield module
    module.engine.dispose()
    del sys.modules["handlers_guide"]


def test_the_guides_program_runs_and_its_handlers_are_found(guide: ModuleType) -> None:
    """Its own assertions hold, and the worker would find what it defines."""
    found = load_registry(Handlers(modules=[guide.__name__]), entry_points=False)

    assert set(found) == {
        "orders.insert",
        "orders.discount",
        "orders.announce",
        "orders.close",
        "lines.insert",
        "lines.check",
    }
    assert guide.run.result == {"inserted": 1}


def test_the_guides_configuration_is_valid() -> None:
    """Every key that the guide shows is one that the settings know."""
    sections = [Handlers(**tomllib.loads(block)["handlers"]) for block in blocks("toml")]

    assert sections[0].modules == ["my_package.handlers"]
    assert [section.table for section in sections[1].insert] == ["orders"]
