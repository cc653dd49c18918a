"""Trials: a part is done as for real, in a transaction on its shard that is rolled back in any case."""

import threading
from collections.abc import Callable
from functools import partial

from shards.changes import Changes, changes_on
from shards.claims import check_transaction
from shards.deferred import check_deferred
from shards.directory import Placement
from shards.engines import Shard
from shards.guard import PartConnection, trial_transaction
from shards.handler_work import worked
from shards.shared_claims import lock_placements
from shards.transaction_tries import TransactionTries
from shards.trial_marks import unbroken_trial

TrialWork = Callable[[PartConnection, Changes], bytes]
"""What is tried: the body of the part's outcome, which may tell what has changed by then."""


class Trial:
    """One customer's database, on which a part is tried; the inbox is neither read nor written.

    It is tried again in place after deadlocks and serialization failures, up to `transaction_tries` times
    within seconds; `stop` ends the waits in between. With `check_placement`, the customer's placement row has
    to say active, with the placement's epoch, and does so until the end.
    """

    def __init__(
        self,
        shard: Shard,
        placement: Placement,
        *,
        stop: threading.Event,
        transaction_tries: int,
        check_placement: bool = False,
    ) -> None:
        self._shard = shard
        self._placement = placement
        self._check_placement = check_placement
        self._tries = TransactionTries(shard.dialect, stop, transaction_tries)

    def run(self, work: TrialWork) -> bytes:
        """What the work returns, in a transaction in which it can neither commit nor roll back.

        Constraints that are checked at a COMMIT are checked. What is not rolled back: numbers that were drawn
        from sequences, and what is beyond transactions.

        Raises:
            PlacementStale: the placement is checked and does not hold.
            BrokenTransaction: the work ended its transaction: what it wrote until then may stay.
            Exception: whatever the database or the work raises; `classify` tells what it means.
        """
        return self._tries.run(partial(self._try, work))

    def _try(self, work: TrialWork) -> bytes:
        with self._shard.connect(self._placement.schema) as connection, trial_transaction(connection):
            if self._check_placement:
                lock_placements(connection, [self._placement])
            with unbroken_trial(connection), changes_on(connection) as changes:
                body = worked(lambda _: work(connection, changes), connection)
                check_transaction(connection)
                check_deferred(connection)
            return body
