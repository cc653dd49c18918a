"""Chance that replays: a generator for each purpose, made of the soak's seed and the purpose's name."""

from random import Random


def chance_of(seed: int, *purpose: object) -> Random:
    """The generator for this purpose: it draws the same each time, whatever the others draw."""
    return Random(" ".join(map(str, (seed, *purpose))))  # noqa: S311 - it has to replay
