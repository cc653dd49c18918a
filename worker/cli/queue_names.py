"""Which of the configured queues are meant: names, patterns, all but some."""

import re
from collections.abc import Sequence

import typer

from config.masking import mask_credentials
from config.settings import Settings
from worker.cli.errors import CommandError
from worker.transports.addresses import read_address


def consumed_queues(
    settings: Settings, names: Sequence[str], *, every: bool, excluded: Sequence[str]
) -> tuple[str, ...]:
    """The URLs of the request queues that `consume` receives from; empty for all that are configured.

    A name can be a pattern, which has to fit a whole name. Raises `CommandError` where nothing is meant.
    """
    if excluded and not every:
        raise typer.BadParameter("--exclude-receivers belongs to --all.")
    if names and every:
        raise typer.BadParameter("Give the names of queues, or --all.")
    left_out = _matching(settings.queues.request, excluded)
    if not left_out:
        return _matching(settings.queues.request, names)
    kept = tuple(url for url in settings.queues.request if url not in left_out)
    if not kept:
        raise CommandError("--exclude-receivers leaves no request queue to receive from.")
    return kept


def chosen_queues(queues: Sequence[tuple[str, str]], names: Sequence[str]) -> list[tuple[str, str]]:
    """Of these queues, each a word for its use and a URL, those with one of the names; all without names."""
    chosen = _matching([url for _, url in queues], names)
    return [(use, url) for use, url in queues if url in chosen or not names]


def _matching(urls: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    found = dict.fromkeys(url for name in names for url in _named(urls, name))
    return tuple(found)


def _named(urls: Sequence[str], name: str) -> list[str]:
    exact = [url for url in urls if name in {url, read_address(url).queue_name}]
    found = exact or [url for url in urls if _fits(name, read_address(url).queue_name)]
    if not found:
        known = ", ".join(read_address(url).queue_name for url in urls)
        told = mask_credentials(name)
        raise CommandError(f"No queue's name is {told!r} or fits it as a pattern; the file has: {known}.")
    return found


def _fits(pattern: str, name: str) -> bool:
    try:
        return re.fullmatch(pattern, name) is not None
    except re.error:
        return False
