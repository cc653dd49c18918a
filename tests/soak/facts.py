"""What a soak left: rows, inbox rows, final results and dead letters, as plain values for the audit."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.soak.case import Letter, RowKey
from tests.soak.cast import SHARDS
from tests.soak.databases import Databases

Final = dict[str, Any]
TIMES = frozenset({"received_at", "finished_at"})


class InboxFact(NamedTuple):
    """A row of a shard's inbox: whose it is there, its state, and its outcome as it stands in results."""

    shard: str
    job_id: str
    customer_id: str
    state: str
    outcome: str | None


@dataclass
class Facts:
    """All that was found. `finals` are the final results by job, in the order of their coming.

    `left` is the number of messages on the request queue, `running` of results that were not final.
    """

    rows: Counter[RowKey] = field(default_factory=Counter)
    inbox: list[InboxFact] = field(default_factory=list)
    finals: defaultdict[str, list[Final]] = field(default_factory=lambda: defaultdict(list))
    letters: Counter[Letter] = field(default_factory=Counter)
    left: int = 0
    running: int = 0

    def note_results(self, bodies: Iterable[str]) -> None:
        """Note what came to the response queue."""
        for body in bodies:
            result = json.loads(body)
            if result["status"] == "running":
                self.running += 1
            else:
                self.finals[result["job_id"]].append(result)

    def look(self, databases: Databases) -> None:
        """Note what stands in the shards."""
        for shard in SHARDS:
            for row in databases.query(shard, "SELECT customer_id, job_id, number FROM soak_rows"):
                self.rows[RowKey(shard, row["customer_id"], row["job_id"], row["number"])] += 1
            columns = "job_id, customer_id, state, outcome"
            for row in databases.query(shard, f"SELECT {columns} FROM shardworker_inbox"):  # noqa: S608 - fixed
                self.inbox.append(_inbox_fact(shard, row))


def without_times(final: Final) -> Final:
    """A result but for its two times."""
    return {name: value for name, value in final.items() if name not in TIMES}


def _inbox_fact(shard: str, row: dict[str, Any]) -> InboxFact:
    outcome = None if row["outcome"] is None else bytes(row["outcome"]).decode()
    return InboxFact(shard, row["job_id"], row["customer_id"], row["state"], outcome)
