"""The form of what checks find: one thing that was looked at, and how it stands."""

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """One thing that was looked at. `text` says what is wrong and what to do, or what else is to be known."""

    area: str
    name: str
    state: Literal["right", "warning", "wrong"]
    text: str = ""
