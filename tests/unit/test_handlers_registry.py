"""Finding handlers: by module names, by entry points, by configuration; and refusing what cannot be one."""

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest

from config.settings import Handlers, InsertHandler
from handlers import PartContext, handles, registry
from handlers.registry import (
    BadHandler,
    HandlerConflict,
    HandlerImportFailed,
    handler_specs,
    load_registry,
)


@handles("a", dict)
def handle_a(_payload: Any, _context: PartContext) -> str:
    """Handle a.

    At length.
    """
    return "a"


@handles("a")
def handle_a_too(_payload: Any, _context: PartContext) -> None:
    pass


@pytest.fixture
def modules() -> Iterator[dict[str, ModuleType]]:
    """Modules that can be imported by name while a test runs."""
    made = {name: ModuleType(name) for name in ("handlers_one", "handlers_two")}
    sys.modules.update(made)
    yield made
    for name in made:
        del sys.modules[name]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """The entry points of installed packages."""
    points: list[EntryPoint] = []
    monkeypatch.setattr(registry, "_installed", lambda: tuple(points))
    return points


def put(module: ModuleType, **values: Any) -> None:
    vars(module).update(values)


def test_handlers_are_found_in_the_modules_that_are_named(modules: dict[str, ModuleType]) -> None:
    """Each marked function of a module is the handler of its type; everything else is left alone."""
    put(modules["handlers_one"], handle=handle_a, other=3, plain=print)

    found = load_registry(Handlers(modules=["handlers_one"]), entry_points=False)

    assert list(found) == ["a"]
    assert found["a"].summary == "Handle a."
    assert found["a"].model is dict
    assert "test_handlers_registry" in found["a"].source
    assert found["a"].call({}, None) == "a"  # type: ignore[arg-type]


def test_the_same_function_may_be_found_twice(modules: dict[str, ModuleType]) -> None:
    """A module named twice and a function that another module imports are no conflict."""
    put(modules["handlers_one"], handle=handle_a)
    put(modules["handlers_two"], handle=handle_a, again=handle_a)

    found = load_registry(
        Handlers(modules=["handlers_one", "handlers_one", "handlers_two"]), entry_points=False
    )

    assert len(found) == 1


def test_two_handlers_for_one_type_are_an_error_that_names_both(modules: dict[str, ModuleType]) -> None:
    """Which one would win must never depend on an order."""
    put(modules["handlers_one"], handle=handle_a)
    put(modules["handlers_two"], handle=handle_a_too)

    with pytest.raises(HandlerConflict, match=r"'a'.*handle_a .*handle_a_too ") as caught:
        load_registry(Handlers(modules=["handlers_one", "handlers_two"]), entry_points=False)
    assert f"{__file__}:" in str(caught.value)


def test_a_built_in_handler_can_be_the_other_one_of_two(modules: dict[str, ModuleType]) -> None:
    """The configuration's own handlers are handlers like any other."""
    put(modules["handlers_one"], handle=handle_a)
    section = InsertHandler(type="a", table="items")

    with pytest.raises(HandlerConflict, match=r"handlers\.insert.*'items'"):
        load_registry(Handlers(modules=["handlers_one"], insert=[section]), entry_points=False)


def test_built_in_handlers_stand_in_the_registry_by_their_types() -> None:
    """A type needs no Python; what it does is told for `shardworker handlers`."""
    sections = [InsertHandler(type=name, table="items") for name in ("z", "b")]

    found = load_registry(Handlers(insert=sections), entry_points=False)

    assert list(found) == ["b", "z"]
    assert "items" in found["b"].summary
    assert found["b"].decode({"rows": []}) == {"rows": []}


def test_a_module_that_cannot_be_imported_is_named_with_the_reason() -> None:
    """The operator learns which name in the configuration is wrong."""
    with pytest.raises(HandlerImportFailed, match=r"'no_such_module'.*handlers\.modules"):
        load_registry(Handlers(modules=["no_such_module"]), entry_points=False)


def test_handlers_of_installed_packages_are_found(
    installed: list[EntryPoint], modules: dict[str, ModuleType]
) -> None:
    """An entry point names a module, or one function in it."""
    put(modules["handlers_one"], handle=handle_a)
    installed.append(EntryPoint("one", "handlers_one", "shardworker.handlers"))
    installed.append(EntryPoint("two", "handlers_one:handle", "shardworker.handlers"))

    assert list(load_registry(Handlers())) == ["a"]
    assert list(load_registry(Handlers(), entry_points=False)) == []


@pytest.mark.parametrize("value", ["no_such_module", "handlers_one:no_such_name", "handlers_one:plain"])
def test_an_entry_point_that_brings_no_handler_is_an_error(
    installed: list[EntryPoint], modules: dict[str, ModuleType], value: str
) -> None:
    """A broken package stops the start, instead of its jobs becoming of an unknown type."""
    put(modules["handlers_one"], plain=print)
    installed.append(EntryPoint("broken", value, "shardworker.handlers"))

    with pytest.raises(HandlerImportFailed, match="'broken'"):
        load_registry(Handlers())


def test_the_installed_packages_are_asked() -> None:
    """Without a stand-in the real entry points are read; this project brings none."""
    assert list(load_registry(Handlers())) == []


def test_a_handler_takes_two_arguments() -> None:
    """A function that cannot be called as a handler is told at start, not with the first job."""

    @handles("a")
    def handler(_payload: Any) -> None:
        pass

    with pytest.raises(BadHandler, match="two arguments by position"):
        handler_specs(handler)


def test_a_handler_is_a_plain_function() -> None:
    """A coroutine or a generator would return before it did anything."""

    @handles("a")
    async def coroutine(_payload: Any, _context: PartContext) -> None:
        pass

    @handles("a")
    def generator(_payload: Any, _context: PartContext) -> Iterator[int]:
        yield 1

    for handler in (coroutine, generator):
        with pytest.raises(BadHandler, match="plain function"):
            handler_specs(handler)


def test_a_model_that_nothing_can_be_decoded_to_is_told_with_the_handler() -> None:
    """The message says what would be a model."""

    class NoModel:
        pass

    @handles("a", NoModel)
    def handler(_payload: Any, _context: PartContext) -> None:
        pass

    with pytest.raises(BadHandler, match=r"handler.*'a'.*NoModel.*msgspec Struct"):
        handler_specs(handler)
