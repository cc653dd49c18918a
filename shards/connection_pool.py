"""The pool of one shard's connections, which takes its places from the budget of the shard's server."""

from typing import Any, Final

from sqlalchemy.pool import ConnectionPoolEntry, Pool

from shards.connection_budget import ServerConnections, Share

GENERATION: Final = "shardworker_generation"


class BudgetedPool(Pool):
    """Connections are made when they are wanted and kept until they are idle for too long.

    `timeout` is how many seconds a caller waits for one.

    Connecting raises `AllInUse`, `ServerInUse` and what the driver raises.
    """

    def __init__(
        self,
        creator: Any,
        connections: ServerConnections,
        share: Share,
        timeout: float,
        **options: Any,
    ) -> None:
        super().__init__(creator, **options)
        self._connections = connections
        self._share = share
        self._timeout = timeout
        self._generation = 0

    def dispose(self) -> None:
        """Close the connections that are idle; one in use is closed when it comes back."""
        self._generation += 1
        self._connections.close_idle_of(self._share)

    def recreate(self) -> "BudgetedPool":
        """This pool: once disposed of it is as good as new, and the places in use stay counted."""
        return self

    def status(self) -> str:
        """How many connections there are."""
        share = self._share
        return f"Connections: {share.open} of {share.limit}, {len(share.idle)} of them idle"

    def open_beyond_budget(self) -> ConnectionPoolEntry:
        """A connection that is not counted, for a word to the server while all others are in use.

        The caller closes it. Raises what the driver raises.
        """
        return self._create_connection()

    def write_off(self) -> None:
        """A connection in use was cut: its place is free, though whoever has it does not give it back."""
        self._connections.give_up(self._share)

    def write_back(self) -> None:
        """Whoever has a connection that was written off gives it back now: it is counted until then."""
        self._connections.take_back(self._share)

    def _do_get(self) -> ConnectionPoolEntry:
        idle = self._connections.take(self._share, self._timeout)
        record = idle if isinstance(idle, ConnectionPoolEntry) else self._open()
        record.info[GENERATION] = self._generation
        return record

    def _open(self) -> ConnectionPoolEntry:
        try:
            return self._create_connection()
        except BaseException:
            self._connections.give_up(self._share)
            raise

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        made_before_the_end = record.info.get(GENERATION, self._generation) != self._generation
        if record.dbapi_connection is not None and not made_before_the_end:
            self._connections.give_back(self._share, record)
            return
        try:
            record.close()
        finally:
            self._connections.give_up(self._share)
