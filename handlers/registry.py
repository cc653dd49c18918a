"""The registry: which function handles which job type, found by module names and by entry points."""

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from config import settings
from handlers.contract import PartContext, marks_of
from handlers.insert import InsertRows
from handlers.models import BadModel, Decode, payload_decoder

ENTRY_POINT_GROUP: Final = "shardworker.handlers"


class HandlerLoadFailed(Exception):
    """The handlers cannot be loaded: the worker does not start. The message says which and what to do."""


class HandlerConflict(HandlerLoadFailed):
    """Two handlers for one job type."""


class HandlerImportFailed(HandlerLoadFailed):
    """A module that the configuration or an entry point names cannot be imported."""


class BadHandler(HandlerLoadFailed):
    """A function is marked with `handles` but cannot be a handler."""


@dataclass(frozen=True, slots=True)
class HandlerSpec:
    """One job type's handler. `source` says where it stands, `summary` is the first line of its docstring."""

    job_type: str
    function: Callable[[Any, PartContext], Any] = field(repr=False)
    model: Any
    source: str
    summary: str
    decode: Decode = field(repr=False)
    """Decodes a payload, as JSON gave it, to the model; raises `Reject` with `invalid_payload`."""

    def call(self, payload_object: Any, context: PartContext) -> Any:
        """Run the handler on a decoded payload; what it returns or raises is the handler's."""
        return self.function(payload_object, context)


class Registry(Mapping[str, HandlerSpec]):
    """The handlers by job type, in the order of the types' names; fixed once loaded."""

    def __init__(self, specs: Mapping[str, HandlerSpec]) -> None:
        self._specs = dict(sorted(specs.items()))

    def __getitem__(self, job_type: str) -> HandlerSpec:
        return self._specs[job_type]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)


def load_registry(handlers: settings.Handlers, *, entry_points: bool = True) -> Registry:
    """Every handler: those in the named modules, of installed packages' entry points, and the built-in ones.

    Args:
        handlers: The section `[handlers]` of the configuration.
        entry_points: Whether to look at installed packages' entry points too.

    Raises:
        HandlerConflict: two handlers for one job type.
        HandlerImportFailed: a module cannot be imported, or an entry point names no handler.
        BadHandler: a marked function cannot be called as a handler or its model cannot be decoded to.
    """
    specs: dict[str, HandlerSpec] = {}
    for module in handlers.modules:
        _add(specs, _specs_of(_imported(module)))
    for entry_point in _installed() if entry_points else ():
        _add(specs, _specs_of(_loaded(entry_point)))
    for section in handlers.insert:
        _add(specs, iter([insert_spec(section)]))
    return Registry(specs)


def handler_specs(function: Callable[..., Any]) -> tuple[HandlerSpec, ...]:
    """The specs of a function that is marked with `handles`, one for each job type; raises `BadHandler`."""
    return tuple(_spec(function, mark.job_type, mark.model) for mark in marks_of(function))


def insert_spec(section: settings.InsertHandler) -> HandlerSpec:
    """The built-in handler that a section `[[handlers.insert]]` configures."""
    return HandlerSpec(
        job_type=section.type,
        function=InsertRows(section),
        model=Any,
        source=f"[[handlers.insert]] type = {section.type!r}, table = {section.table!r}",
        summary=f"Inserts rows from the job's {section.source} into the table {section.table}.",
        decode=payload_decoder(section.type, Any),
    )


def _add(specs: dict[str, HandlerSpec], found: Iterator[HandlerSpec]) -> None:
    for spec in found:
        first = specs.setdefault(spec.job_type, spec)
        if first.function is not spec.function or first.model is not spec.model:
            raise HandlerConflict(
                f"Two handlers for the job type {spec.job_type!r}: {first.source} and {spec.source}. "
                "Remove one of them or give it another type."
            )


def _specs_of(found: object) -> Iterator[HandlerSpec]:
    for value in [found, *vars(found).values()] if inspect.ismodule(found) else [found]:
        if callable(value):
            yield from handler_specs(value)


def _imported(module: str) -> object:
    try:
        return importlib.import_module(module)
    except Exception as error:
        raise HandlerImportFailed(
            f"The handler module {module!r} cannot be imported: {type(error).__name__}: {error}. "
            "Correct `handlers.modules` in the configuration, or install the package that holds it."
        ) from error


def _installed() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=ENTRY_POINT_GROUP))


def _loaded(entry_point: EntryPoint) -> object:
    try:
        found: object = entry_point.load()
    except Exception as error:
        raise HandlerImportFailed(
            f"The entry point {entry_point.name!r} of {ENTRY_POINT_GROUP} ({entry_point.value}) cannot be "
            f"imported: {type(error).__name__}: {error}. Repair or remove the package that brings it."
        ) from error
    if not inspect.ismodule(found) and not marks_of(found):
        raise HandlerImportFailed(
            f"The entry point {entry_point.name!r} of {ENTRY_POINT_GROUP} names {entry_point.value}: "
            "expected a module or a function marked with `handles`. Repair or remove its package."
        )
    return found


def _spec(function: Callable[..., Any], job_type: str, model: Any) -> HandlerSpec:
    source = _source(function)
    _check_callable(function, source)
    try:
        decode = payload_decoder(job_type, model)
    except BadModel as error:
        raise BadHandler(f"{source}, the handler of {job_type!r}, cannot be used: {error}") from error
    lines = (inspect.getdoc(function) or "").strip().splitlines()
    summary = lines[0] if lines else ""
    return HandlerSpec(job_type, function, model, source, summary, decode)


def _source(function: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    place = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '?')}.{name}{place}"


def _check_callable(function: Callable[..., Any], source: str) -> None:
    try:
        inspect.signature(function).bind(object(), object())
    except TypeError as error:
        raise BadHandler(
            f"{source} cannot be a handler: it must take two arguments by position, payload and context."
        ) from error
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise BadHandler(
            f"{source} cannot be a handler: it must be a plain function, neither `async` nor a generator, "
            "whose work is done when it returns."
        )
