"""Option values in Symfony's form beside ours: `3600` for seconds, `128M` for a size, `--keepalive` alone."""

import re
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final

import typer
from typer.core import TyperCommand

from worker.cli.common import to_duration, to_size

SECONDS: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
PAUSE_MAXIMUM: Final = timedelta(hours=1)
PHP_SIZE: Final = re.compile(r"([0-9]+)([kmgKMG]?)")
PHP_UNITS: Final = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
LEAST_MEMORY: Final = 2**20
"""A smaller limit is a mistake, `512` for `512M` say."""

KEEPALIVE: Final = "--keepalive"
AS_EVER: Final = "as ever"
"""What `--keepalive` without a value stands for."""


def to_pause(text: str) -> timedelta:
    """How long to pause: nothing, or up to an hour."""
    pause = _to_seconds(text)
    if pause > PAUSE_MAXIMUM:
        raise typer.BadParameter(f"expected an hour at most, found {text!r}")
    return pause


def to_span(text: str) -> timedelta:
    """A time that passes: longer than nothing."""
    span = _to_seconds(text)
    if not span:
        raise typer.BadParameter(f"expected more than nothing, found {text!r}")
    return span


def _to_seconds(text: str) -> timedelta:
    """A duration as ours, or a plain number of seconds as Symfony's."""
    try:
        return timedelta(seconds=float(text)) if SECONDS.fullmatch(text) else to_duration(text)
    except OverflowError as error:
        raise typer.BadParameter(f"expected a duration of this world, found {text!r}") from error


def to_memory(text: str) -> int:
    """A size as ours, or PHP's form of it: `128M` is 128 MiB, a plain number bytes."""
    match = PHP_SIZE.fullmatch(text)
    size = int(match[1]) * PHP_UNITS[match[2].lower()] if match else to_size(text)
    if size < LEAST_MEMORY:
        raise typer.BadParameter(f"{text!r} is less than any worker takes; expected 128M, 512MiB or 2GB, say")
    return size


def to_keepalive(text: str) -> timedelta | None:
    """How often leases are to be renewed; None for the option without a value."""
    return None if text == AS_EVER else to_span(text)


class KeepaliveCommand(TyperCommand):
    """A command whose `--keepalive` can stand alone, as Symfony's, or have a value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments, with a value for each `--keepalive` that has none."""
        return super().parse_args(ctx, _completed(args))


def _completed(arguments: Sequence[str]) -> list[str]:
    return [
        f"{KEEPALIVE}={AS_EVER}" if argument == KEEPALIVE and following.startswith("-") else argument
        for argument, following in pairwise([*arguments, "-"])
    ]
