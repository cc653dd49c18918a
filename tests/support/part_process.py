"""Parts run in processes of their own, to be raced and killed."""

import time
from multiprocessing.connection import Connection as Pipe

from sqlalchemy import Connection

from shards.failures import classify
from shards.inbox import Outcome
from tests.support.parts import identity, insert_order, shard_at, store_on


def deliver_when_told(url: str, name: int, pipe: Pipe) -> None:
    """Tell that it is ready, wait for the word, run the part, tell the outcome."""
    shard = shard_at(url, limit=1)
    store = store_on(shard, clock=time.time)
    pipe.send("ready")
    pipe.recv()

    def work(connection: Connection) -> bytes:
        insert_order(connection, 1)
        return b"run by %d" % name

    outcome: Outcome | str
    try:
        outcome = store.run(identity(), work)
    except Exception as error:  # noqa: BLE001  the kind of whatever was raised is the answer
        outcome = classify(error, shard.dialect).code
    pipe.send(outcome)
    shard.close()


def hang_inside_work(url: str, pipe: Pipe) -> None:
    """Write the part's data, tell so, and wait to be killed inside the transaction."""
    shard = shard_at(url, limit=1)

    def work(connection: Connection) -> bytes:
        insert_order(connection, 1)
        pipe.send("inside")
        pipe.recv()
        return b"never"

    store_on(shard).run(identity(), work)
