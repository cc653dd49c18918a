"""The part's transaction on a real MariaDB server, and what a handler cannot carry out of it."""

import pytest

from shards.engines import Shard
from tests.support.fault_protocol import FaultProtocol
from tests.support.guard_protocol import GuardProtocol
from tests.support.part_protocol import PartProtocol


class TestOnMariaDB(PartProtocol, GuardProtocol, FaultProtocol):
    """Every database's promises, kept by MariaDB."""

    usual_statements = ("INSERT", "SAVEPOINT", "INSERT", "RELEASE", "UPDATE", "COMMIT")

    @pytest.fixture(name="shard")
    def of_mariadb(self, mariadb_shard: Shard) -> Shard:
        """The shard that the protocols are run on."""
        return mariadb_shard
