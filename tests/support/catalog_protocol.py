"""What the catalog promises on every database; a subclass gives the fixture `shard`, an empty database."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import event, insert, text

from shards.catalog import Action, Catalog, Control, EpochBehind, Scope
from shards.catalog_tables import catalog_tables, check_catalog, create_catalog, customers
from shards.directory import DirectoryUnavailable, PlacementState
from shards.engines import Shard

NOON = 1_795_000_000.5
ACTIVE, PAUSED, MOVING, GONE = PlacementState


def told(shard: str, schema: str | None = None, state: str = "active", epoch: int = 1) -> dict[str, object]:
    """What the catalog tells of a customer."""
    return {"shard": shard, "schema": schema, "state": state, "epoch": epoch}


class CatalogProtocol:
    """The tables, what is read and what is written, on a real database."""

    now = NOON

    @pytest.fixture(name="catalog")
    def make_catalog(self, shard: Shard) -> Catalog:
        """The catalog, with its tables and nothing in them."""
        create_catalog(shard)
        return Catalog(shard, lambda: self.now)

    def versions(self, shard: Shard) -> list[int]:
        """The versions that the customers' rows have."""
        with shard.connect(reading=True) as connection:
            return list(
                connection.execute(text("SELECT version FROM customers ORDER BY customer_id")).scalars()
            )

    def test_the_tables_are_created_once(self, shard: Shard) -> None:
        """The second time everything is there."""
        assert [create_catalog(shard), create_catalog(shard)] == [True, False]
        assert check_catalog(shard) == []

    def test_a_missing_table_or_column_is_told(self, shard: Shard) -> None:
        """Each with what to do."""
        assert [fault.split(".")[0] for fault in check_catalog(shard)] == [
            f"The catalog has no table {name}" for name in ("controls", "customers", "grants")
        ]
        create_catalog(shard)
        with shard.connect() as connection, connection.begin():
            connection.execute(text("ALTER TABLE customers DROP COLUMN version"))
        (fault,) = check_catalog(shard)
        assert "table customers has no column version" in fault

    def test_without_its_tables_the_catalog_is_unavailable(self, shard: Shard) -> None:
        """A customer is never unknown because a table is missing."""
        with pytest.raises(DirectoryUnavailable, match="cannot be asked"):
            Catalog(shard, lambda: NOON).find(["c-1"])

    def test_a_customer_is_found_as_it_was_written(self, catalog: Catalog) -> None:
        """Shard, schema, state and epoch; who was not written is missing."""
        catalog.set_placement("c-1", "eu1", None, ACTIVE)
        catalog.set_placement("c-2", "eu2", "tenant_2", MOVING, epoch=7)

        found = {"c-1": told("eu1"), "c-2": told("eu2", "tenant_2", "moving", 7)}
        assert catalog.find(["c-2", "c-0", "c-1"]) == found
        assert catalog.find_all() == found
        assert catalog.find([]) == {}

    def test_a_row_written_by_hand_needs_no_more_than_a_shard(self, shard: Shard, catalog: Catalog) -> None:
        """The other columns have defaults that mean: here, and active."""
        with shard.connect() as connection, connection.begin():
            connection.execute(text("INSERT INTO customers (customer_id, shard) VALUES ('c-1', 'eu1')"))

        assert catalog.find(["c-1"]) == {"c-1": told("eu1")}

    def test_ids_are_compared_by_their_bytes(self, catalog: Catalog) -> None:
        """`A` and `a` are two customers, two shards and two job types, also where the database thinks not."""
        catalog.set_placement("A", "EU", None, ACTIVE)
        catalog.set_placement("a", "eu", None, ACTIVE)
        catalog.pause(Scope.SHARD, "EU")
        catalog.grant("acme", "*", "Orders")
        assert catalog.grant("acme", "*", "orders")

        assert catalog.find(["A", "a"]) == {"A": told("EU", state="paused"), "a": told("eu")}

    def test_a_thousand_customers_are_found_with_few_questions(self, shard: Shard, catalog: Catalog) -> None:
        """One statement for each 500 of them."""
        ids = [f"c-{number:04}" for number in range(1001)]
        with shard.connect() as connection, connection.begin():
            connection.execute(insert(customers), [{"customer_id": one, "shard": "eu1"} for one in ids])
        statements: list[str] = []
        event.listen(
            shard.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2])
        )

        assert list(catalog.find(ids)) == ids
        assert sum(statement.startswith("SELECT") for statement in statements) == 3

    def test_the_epoch_grows_with_each_move_and_the_version_with_each_write(
        self, shard: Shard, catalog: Catalog
    ) -> None:
        """Another shard or schema is a move; another state is not."""
        epochs = [
            catalog.set_placement("c-1", *place).epoch
            for place in (
                ("eu1", None, ACTIVE),
                ("eu1", None, PAUSED),
                ("eu2", None, ACTIVE),
                ("eu2", "tenant_1", ACTIVE),
                ("eu2", "tenant_1", GONE),
            )
        ]

        assert epochs == [1, 1, 2, 3, 3]
        assert self.versions(shard) == [5]

    def test_an_epoch_never_goes_down(self, shard: Shard, catalog: Catalog) -> None:
        """Who writes what he knew before somebody else's move writes nothing."""
        catalog.set_placement("c-1", "eu1", None, ACTIVE, epoch=5)

        with pytest.raises(EpochBehind, match="in epoch 5 already; epoch 4 was not written"):
            catalog.set_placement("c-1", "eu2", None, ACTIVE, epoch=4)
        assert catalog.find(["c-1"]) == {"c-1": told("eu1", epoch=5)}
        assert self.versions(shard) == [1]

    def test_a_removed_customer_is_unknown(self, catalog: Catalog) -> None:
        """To remove it again changes nothing."""
        catalog.set_placement("c-1", "eu1", None, ACTIVE)

        assert [catalog.remove_placement("c-1"), catalog.remove_placement("c-1")] == [True, False]
        assert catalog.find(["c-1"]) == {}

    @pytest.mark.parametrize(("scope", "name"), [(Scope.SHARD, "eu1"), (Scope.CUSTOMER, "c-1")])
    def test_a_paused_shard_or_customer_is_paused_until_it_is_resumed(
        self, catalog: Catalog, scope: Scope, name: str
    ) -> None:
        """The customer's own state is left as it was."""
        catalog.set_placement("c-1", "eu1", None, ACTIVE)
        catalog.set_placement("c-2", "eu2", None, ACTIVE)

        catalog.pause(scope, name)
        assert catalog.find(["c-1", "c-2"]) == {"c-1": told("eu1", state="paused"), "c-2": told("eu2")}
        assert [catalog.resume(scope, name), catalog.resume(scope, name)] == [True, False]
        assert catalog.find(["c-1", "c-2"]) == {"c-1": told("eu1"), "c-2": told("eu2")}

    @pytest.mark.parametrize(
        ("state", "paused", "given_up"),
        [(ACTIVE, "paused", "gone"), (MOVING, "moving", "gone"), (GONE, "gone", "gone")],
    )
    def test_the_strictest_of_state_and_controls_holds(
        self, catalog: Catalog, state: PlacementState, paused: str, given_up: str
    ) -> None:
        """A pause never brings back who is gone; giving a shard up ends all that is on it."""
        catalog.set_placement("c-1", "eu1", None, state)
        catalog.pause(Scope.CUSTOMER, "c-1")
        assert catalog.find(["c-1"]) == {"c-1": told("eu1", state=paused)}
        catalog.give_up(Scope.SHARD, "eu1")
        assert catalog.find(["c-1"]) == {"c-1": told("eu1", state=given_up)}

    def test_an_unknown_action_stops_as_a_pause_does(self, shard: Shard, catalog: Catalog) -> None:
        """Somebody wrote it to stop something."""
        catalog.set_placement("c-1", "eu1", None, ACTIVE)
        with shard.connect() as connection, connection.begin():
            connection.execute(text("INSERT INTO controls VALUES ('shard', 'eu1', 'freeze', 0)"))

        assert catalog.find(["c-1"]) == {"c-1": told("eu1", state="paused")}

    def test_controls_are_listed_with_the_time_since_they_hold(self, catalog: Catalog) -> None:
        """To pause again does not start the time anew; another action does."""
        catalog.pause(Scope.SHARD, "eu1")
        self.now = NOON + 60
        catalog.pause(Scope.SHARD, "eu1")
        catalog.pause(Scope.CUSTOMER, "c-1")
        noon, later = datetime.fromtimestamp(NOON, UTC), datetime.fromtimestamp(NOON + 60, UTC)
        pause_of_customer = Control(Scope.CUSTOMER, "c-1", Action.PAUSE, later)
        assert catalog.controls() == [Control(Scope.SHARD, "eu1", Action.PAUSE, noon), pause_of_customer]

        catalog.give_up(Scope.SHARD, "eu1")
        assert catalog.controls() == [pause_of_customer, Control(Scope.SHARD, "eu1", Action.GIVE_UP, later)]

    def test_a_stop_mark_changes_whenever_it_is_set(self, catalog: Catalog) -> None:
        """Also where the clock of who sets it stands still or goes back; each name has its own."""
        assert catalog.find_stop_marks(["*", "host"]) == {}
        catalog.set_stop_mark("*")
        first = catalog.find_stop_marks(["*", "host"])
        assert list(first) == ["*"]
        catalog.set_stop_mark("*")
        self.now = NOON - 3600
        again = catalog.find_stop_marks(["*"])
        catalog.set_stop_mark("*")
        catalog.set_stop_mark("host")

        assert first["*"] < again["*"] < catalog.find_stop_marks(["*"])["*"]
        assert set(catalog.find_stop_marks(["*", "host", "HOST", "host:7"])) == {"*", "host"}

    def test_a_stop_mark_stops_no_customer(self, catalog: Catalog) -> None:
        """It stands among the controls, and is none."""
        catalog.set_placement("c-1", "eu1", None, ACTIVE)
        for name in ("*", "eu1", "c-1"):
            catalog.set_stop_mark(name)

        assert catalog.find(["c-1"]) == {"c-1": told("eu1")}
        assert catalog.controls() == []

    def test_grants_are_found_by_partner(self, catalog: Catalog) -> None:
        """As pairs of customer and job type; who has none is missing."""
        assert catalog.grant("acme", "c-1", "*")
        assert catalog.grant("acme", "*", "orders")
        assert catalog.grant("other", "*", "*")
        assert not catalog.grant("acme", "c-1", "*")
        assert catalog.find_grants(["acme", "poor"]) == {"acme": frozenset({("c-1", "*"), ("*", "orders")})}

        assert [catalog.revoke("acme", "c-1", "*"), catalog.revoke("acme", "c-1", "*")] == [True, False]
        assert catalog.find_grants(["acme"]) == {"acme": frozenset({("*", "orders")})}

    def test_what_the_database_refuses_is_told_without_values(self, catalog: Catalog) -> None:
        """A state that is too long for its column, say, or an id: told by code, and nothing is written."""
        with pytest.raises(DirectoryUnavailable) as refused:
            catalog.set_placement("c-1", None, None, ACTIVE)  # type: ignore[arg-type]
        assert "not_null" in str(refused.value) or "must have a value" in str(refused.value)
        assert catalog.find(["c-1"]) == {}

    def test_the_tables_are_the_three_that_the_documents_show(self) -> None:
        """A fourth one would need its place there."""
        assert set(catalog_tables.tables) == {"customers", "grants", "controls"}
