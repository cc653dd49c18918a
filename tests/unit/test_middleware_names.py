"""The middleware that the configuration names: in a module, of an installed package, or built in."""

import importlib
import inspect
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest

from handlers import Next, Outcome, PartEnvelope
from worker import middleware_names
from worker.middleware_names import BUILT_IN, SYMFONY_NAMES, MiddlewareImportFailed, load_middleware

GROUP = "shardworker.middleware"


def link(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
    return next(envelope)


class Link:
    def __call__(self, envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
        """Go on."""
        return next(envelope)

    def turned(self, envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
        """Go on."""
        return next(envelope)


class Needy(Link):
    def __init__(self, wanted: str) -> None:
        """Want something."""


async def later(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
    return next(envelope)


@pytest.fixture(name="module", autouse=True)
def make_module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of a user's, with links and with what is none."""
    module = ModuleType("their_links")
    vars(module).update(
        link=link, Link=Link, made=Link(), turned=Link().turned, Needy=Needy, later=later, text="", one=len
    )
    monkeypatch.setitem(sys.modules, "their_links", module)
    return module


@pytest.fixture(name="installed")
def make_installed(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """The entry points of installed packages."""
    points: list[EntryPoint] = []

    def entry_points(*, group: str) -> Iterator[EntryPoint]:
        return (point for point in points if point.group == group)

    monkeypatch.setattr(middleware_names, "entry_points", entry_points)
    return points


def test_the_order_is_the_configuration_s(module: ModuleType) -> None:
    """Functions and objects are taken as they are, a class is called once; the first is the outermost."""
    loaded: list[Any] = list(
        load_middleware(["their_links:made", "their_links:link", "their_links:Link", "their_links:turned"])
    )

    assert loaded[:2] == [module.made, link]
    assert isinstance(loaded[2], Link)
    assert loaded[2] is not module.made
    assert loaded[3] == module.turned


def test_an_installed_package_s_is_named_by_its_entry_point(installed: list[EntryPoint]) -> None:
    """And runs only where the configuration names it: its place among the others is nobody else's choice."""
    installed.append(EntryPoint("audit", "their_links:Link", GROUP))

    assert [type(one) for one in load_middleware(["audit"])] == [Link]
    assert load_middleware([]) == []


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_what_is_built_in_has_a_short_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `spans` for OpenTelemetry's."""
    monkeypatch.setitem(BUILT_IN, name, "their_links:link")
    assert load_middleware([name]) == [link]


def test_the_short_names_lead_somewhere() -> None:
    """To classes of this package."""
    for place in BUILT_IN.values():
        module_name, _, attribute = place.partition(":")
        assert inspect.isclass(getattr(importlib.import_module(module_name), attribute))


@pytest.mark.parametrize("name", sorted(SYMFONY_NAMES))
def test_what_is_no_link_here_is_told_where_it_is(name: str) -> None:
    """Whoever comes from Symfony is told where it is, instead of being given a link that does nothing."""
    with pytest.raises(MiddlewareImportFailed) as caught:
        load_middleware([name])
    assert SYMFONY_NAMES[name] in str(caught.value)


def test_two_of_one_name_are_an_error_that_names_both(installed: list[EntryPoint]) -> None:
    """Which one would run must never depend on an order."""
    installed.append(EntryPoint("audit", "their_links:Link", GROUP))
    installed.append(EntryPoint("audit", "their_links:link", GROUP))
    installed.append(EntryPoint("spans", "their_links:link", GROUP))

    with pytest.raises(MiddlewareImportFailed, match=r"their_links:Link, their_links:link"):
        load_middleware(["audit"])
    with pytest.raises(MiddlewareImportFailed, match=r"worker\.spans:PartSpans, their_links:link"):
        load_middleware(["spans"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", r"There is no middleware 'nothing'.*one of audit, spans"),
        ("their_links", r"There is no middleware 'their_links': expected 'package\.module:name'"),
        ("no_such_module:link", r"'no_such_module:link' cannot be imported.*ModuleNotFoundError"),
        ("their_links:nothing", r"'their_links:nothing' cannot be imported.*AttributeError"),
        (":link", r"':link' cannot be imported"),
        ("their_links:Needy", r"cannot be made: TypeError.*without arguments"),
        ("their_links:text", r"cannot be used: it is of type str"),
        ("their_links:later", r"cannot be used: it is `async`"),
        ("their_links:one", r"cannot be used: it does not take two arguments"),
    ],
)
def test_what_is_no_middleware_stops_the_start(installed: list[EntryPoint], name: str, said: str) -> None:
    """The message says which, why and what to do."""
    installed.append(EntryPoint("audit", "their_links:Link", GROUP))

    with pytest.raises(MiddlewareImportFailed, match=said):
        load_middleware([name])


def test_the_installed_packages_are_asked() -> None:
    """Without a stand-in the real entry points are read."""
    with pytest.raises(MiddlewareImportFailed, match="no such thing"):
        load_middleware(["no such thing"])
