"""Finds the middleware that the configuration names: built in, of an installed package, or in a module."""

import importlib
import inspect
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from handlers.middleware import Middleware

ENTRY_POINT_GROUP: Final = "shardworker.middleware"

BUILT_IN: Final = {"spans": "worker.spans:PartSpans"}
"""The short names of what this package brings."""

SYMFONY_NAMES: Final = {
    "add_bus_name_stamp": "stamps come with a message and go with its result, no link adds them",
    "add_default_stamps": "stamps come with a message and go with its result, no link adds them",
    "decode_failed_message": "what cannot be decoded always goes to the failure queue, with the reason",
    "deduplicate": "the inbox always lets each part happen once, by the job's id",
    "dispatch_after_current_bus": "a handler dispatches nothing; it can write a row in its transaction",
    "doctrine_close_connection": "connections are always closed when they are idle",
    "doctrine_ping_connection": "a connection is always tested before it is used",
    "doctrine_transaction": "each part always has its transaction, inside all middleware",
    "failed_message_processing": "`shardworker failed retry` raises the run of what it sends",
    "handle_message": "the innermost link is always the part itself",
    "rate_limiter": "set [rate_limits]; a part over its limit waits before it takes a thread",
    "reject_redelivered_message": "a message that comes again always finds its outcome in the inbox",
    "router_context": "nothing here makes URLs; the stamp is in the envelope's stamps",
    "send_message": "the worker always sends the result",
    "traceable": "name `spans`, which records OpenTelemetry spans",
    "transaction": "each part always has its transaction, inside all middleware",
    "validation": "each payload is always checked by its handler's model, before the transaction begins",
}
"""What Symfony has as middleware and is no link here, with where it is instead."""


class MiddlewareImportFailed(Exception):
    """A middleware named in the configuration cannot be had. The message says which and what to do."""


def load_middleware(names: Sequence[str]) -> list[Middleware]:
    """The middleware of these names, in their order; a class is called once, without arguments.

    A name is `package.module:name`, or short: that of a built-in one, or of an entry point of the group
    `shardworker.middleware`. Raises `MiddlewareImportFailed`.
    """
    return [_load(name) for name in names]


def _load(name: str) -> Middleware:
    found = _imported(name, name) if ":" in name else _named(name)
    link: Middleware = _made(name, found) if isinstance(found, type) else found
    _check_callable(name, link)
    return link


def _named(name: str) -> Any:
    installed = [point for point in entry_points(group=ENTRY_POINT_GROUP) if point.name == name]
    if name in SYMFONY_NAMES and not installed:
        raise MiddlewareImportFailed(
            f"The middleware {name!r} is Symfony's and no link here: {SYMFONY_NAMES[name]}. Take it off "
            "`handlers.middleware` in the configuration."
        )
    if len(installed) + (name in BUILT_IN) > 1:
        raise MiddlewareImportFailed(
            f"More than one middleware has the name {name!r} ({', '.join(_origins(name, installed))}); "
            "name the one that you mean as 'package.module:name'."
        )
    if name in BUILT_IN:
        return _imported(name, BUILT_IN[name])
    if not installed:
        raise MiddlewareImportFailed(
            f"There is no middleware {name!r}: expected 'package.module:name', {_known()}. Correct "
            "`handlers.middleware` in the configuration, or install the package that brings it."
        )
    return _imported(name, installed[0].value)


def _imported(name: str, place: str) -> Any:
    module_name, _, attribute = place.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for step in attribute.split("."):
            found = getattr(found, step)
    except Exception as error:
        raise MiddlewareImportFailed(
            f"The middleware {name!r} cannot be imported from {place}: {type(error).__name__}: {error}. "
            "Correct `handlers.middleware` in the configuration, or install what it needs."
        ) from error
    return found


def _made(name: str, found: type) -> Any:
    try:
        return found()
    except Exception as error:
        raise MiddlewareImportFailed(
            f"The middleware {name!r} cannot be made: {type(error).__name__}: {error}. A class is called "
            "without arguments; name a module's variable to give it some."
        ) from error


def _check_callable(name: str, link: Middleware) -> None:
    called = link if inspect.isroutine(link) else getattr(link, "__call__", None)  # noqa: B004 - it is looked at
    problem = None
    if called is None:
        problem = f"it is of type {type(link).__name__}, which cannot be called"
    elif inspect.iscoroutinefunction(called) or inspect.isgeneratorfunction(called):
        problem = "it is `async` or a generator, whose work is not done when it returns"
    else:
        try:
            inspect.signature(link).bind(object(), object())
        except TypeError:
            problem = "it does not take two arguments by position, envelope and next"
    if problem is not None:
        raise MiddlewareImportFailed(
            f"The middleware {name!r} cannot be used: {problem}. Repair it, or take it off the list."
        )


def _origins(name: str, installed: Sequence[EntryPoint]) -> list[str]:
    return [*([BUILT_IN[name]] if name in BUILT_IN else []), *(point.value for point in installed)]


def _known() -> str:
    names = {*BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))}
    return f"or one of {', '.join(sorted(names))}"
