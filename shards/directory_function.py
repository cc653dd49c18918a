"""A Python function of the company's own as the directory's source."""

import importlib
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from shards.directory import BadPlacement, DirectoryUnavailable, Placement, checked_placement
from shards.patient_function import Function, NoAnswer, PatientFunction

PATIENCE_SECONDS: Final = 30.0
THREAD_NAME: Final = "directory-function"


class DirectoryImportFailed(Exception):
    """The directory's function cannot be imported: the worker does not start."""


class FunctionSource:
    """Asks a function for placements; whatever it raises means that it cannot be asked now.

    So does its silence: it has a time to answer in, and is left alone then. What it says later is not used.

    Args:
        name: Where it is, as `package.module:name`.
        shard_names: The configured shards.
        patience_seconds: How long it may take.

    Raises:
        DirectoryImportFailed: there is no such function.
    """

    def __init__(
        self, name: str, shard_names: Collection[str], patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._name = name
        self._shard_names = shard_names
        self._function = PatientFunction(_imported(name), patience_seconds, THREAD_NAME)

    def __call__(self, customer_ids: Sequence[str]) -> dict[str, Placement | BadPlacement]:
        """The customers that the function knows; raises `DirectoryUnavailable`."""
        try:
            told = self._function(list(customer_ids))
        except NoAnswer as error:
            raise DirectoryUnavailable(f"The directory's function {self._name} {error}") from error
        except (Exception, SystemExit) as error:
            kind = type(error).__name__
            raise DirectoryUnavailable(f"The directory's function {self._name} raised {kind}.") from error
        if not isinstance(told, Mapping):
            kind = type(told).__name__
            raise DirectoryUnavailable(
                f"The directory's function {self._name} returned a {kind}; expected a mapping by customer."
            )
        return {
            customer_id: checked_placement(customer_id, told[customer_id], self._shard_names)
            for customer_id in customer_ids
            if told.get(customer_id) is not None
        }

    def close(self) -> None:
        """Ask no more; its threads end."""
        self._function.close()


def _imported(name: str) -> Function:
    module_name, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise DirectoryImportFailed(
            f"The directory's function {name!r} cannot be imported ({error}); expected 'package.module:name'."
        ) from error
    if not callable(function):
        raise DirectoryImportFailed(f"The directory's function {name!r} is no function and cannot be called.")
    found: Function = function
    return found
