"""The middleware around a part: on the worker thread, outside the transaction, which the last link opens."""

import importlib
from collections.abc import Callable, Sequence
from typing import Protocol

from shards.inbox import Outcome
from shards.parts import WAITING_KINDS, ForeignFailure
from worker.failures import failure_of
from worker.job_in_hand import Part

Next = Callable[[Part], Outcome]


class MiddlewareImportFailed(Exception):
    """A middleware named in the configuration cannot be imported or is not callable."""


class Middleware(Protocol):
    """One link, as Symfony's: it may act before and after, and must call `next` to go on.

    An exception that it raises ends the part as one of the handler's would: `Reject` and `Retry` included.
    """

    def __call__(self, envelope: Part, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
        """Wrap the rest of the way of one part."""
        ...


def chain(middleware: Sequence[Middleware], transaction: Callable[[], Outcome], dialect: str) -> Next:
    """The links, outermost first, around the transaction on a shard of this dialect.

    Whatever the transaction raises comes through as it is. What a link raises by itself never tells of the
    shard: another database of its own that is away or busy is a `ForeignFailure`.
    """
    if not middleware:
        return lambda _: transaction()
    own: list[Exception] = []

    def innermost(_: Part) -> Outcome:
        try:
            return transaction()
        except Exception as error:
            own.append(error)
            raise

    current: Next = innermost
    for link in reversed(middleware):
        current = _bind(link, current)
    return _telling_foreign(current, own, dialect)


def _telling_foreign(outermost: Next, own: Sequence[Exception], dialect: str) -> Next:
    def told(envelope: Part) -> Outcome:
        try:
            return outermost(envelope)
        except Exception as error:
            if error in own or failure_of(error, dialect).kind not in WAITING_KINDS:
                raise
            raise ForeignFailure(error) from error

    return told


def load_middleware(names: Sequence[str]) -> list[Middleware]:
    """The middleware at `package.module:name`, each called once if it is a class; raises
    `MiddlewareImportFailed`.
    """
    return [_load(name) for name in names]


def _bind(link: Middleware, following: Next) -> Next:
    return lambda envelope: link(envelope, following)


def _load(name: str) -> Middleware:
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise MiddlewareImportFailed(
            f"The middleware {name!r} cannot be imported ({error}); expected 'package.module:name'."
        ) from error
    link: Middleware = found() if isinstance(found, type) else found
    return link
