"""A case: the messages of one job, and each way in which it may end, whatever happens on its way."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class RowKey(NamedTuple):
    """A row in a shard's table: whose it is there, of which job, and which of the job's rows."""

    shard: str
    customer_id: str
    job_id: str
    number: int


class PartEnding(NamedTuple):
    """How one customer's part ends: with rows inserted, or with the code of its failure."""

    customer_id: str
    inserted: int | None
    code: str | None = None


class Letter(NamedTuple):
    """A message on the failure queue: its original body, and why it is there."""

    body: str
    code: str


@dataclass(frozen=True)
class Ending:
    """A way in which a job may end.

    `status` is the final result's, None where nobody may be answered; `code` a rejected job's. Rows stand in
    tables, a part's in the inbox of the customer's shard; a job that was rejected has neither, nor has a dry
    run (`is_dry`), whose answers may differ.
    """

    status: str | None
    code: str | None = None
    parts: tuple[PartEnding, ...] = ()
    rows: frozenset[RowKey] = frozenset()
    letters: frozenset[Letter] = frozenset()
    is_dry: bool = False


@dataclass(frozen=True)
class Case:
    """One job. `bodies` are its messages: equal ones are copies; `objects` lie in buckets before it is sent.

    A message that is no job has no `job_id`. `kind` tells people what it is for.
    """

    kind: str
    job_id: str | None
    bodies: tuple[str, ...]
    endings: tuple[Ending, ...]
    objects: Mapping[tuple[str, str], bytes] = field(default_factory=dict)

    @property
    def is_answered(self) -> bool:
        """Whether a final result has to come."""
        return self.endings[0].status is not None


Fields = dict[str, Any]
