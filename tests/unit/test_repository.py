"""The repository as a whole: names that are ours alone, folders that keep to their purpose."""

from importlib.metadata import packages_distributions
from pathlib import Path

import handlers

ROOT = Path(__file__).resolve().parents[2]
OURS = ("worker", "handlers", "shards", "config")


def test_no_other_distribution_brings_a_name_of_ours() -> None:
    """Our packages are top-level ones: another distribution with such a name would hide one of them."""
    brought_by = packages_distributions()

    for name in OURS:
        assert set(brought_by.get(name, [])) <= {"shardworker"}, name


def test_the_units_folder_holds_no_python() -> None:
    """`import systemd` must stay free for the library of that name."""
    assert list((ROOT / "systemd").rglob("*.py")) == []


def test_every_package_of_ours_is_typed_for_others() -> None:
    """Each has its `py.typed`, so that a handler's author gets our types checked."""
    assert [name for name in OURS if not (ROOT / name / "py.typed").exists()] == []


def test_sql_stays_in_the_shards_and_in_the_sql_transport() -> None:
    """In the daemon only the embedded queue's files import SQLAlchemy's statements."""
    allowed = {path.name for path in (ROOT / "worker" / "transports").glob("sql*.py")}
    words = ("from sqlalchemy import insert", "from sqlalchemy import text", "sqlalchemy.select")
    guilty = [
        path.name
        for path in (ROOT / "worker").rglob("*.py")
        if path.name not in allowed and any(word in path.read_text() for word in words)
    ]

    assert guilty == []


def test_no_module_hides_what_its_package_offers() -> None:
    """`handlers.csv_rows` is a function: a file of that name would take its place once it is imported."""
    modules = {path.stem for path in (ROOT / "handlers").glob("*.py")}

    assert modules.isdisjoint(handlers.__all__)
