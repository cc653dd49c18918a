"""The intake with a catalog: the states of a customer, grants, and what waits while the catalog is away."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from config.settings import Directory, Partner
from shards.catalog import Catalog, Scope
from shards.catalog_tables import create_catalog
from shards.directory import PlacementState
from shards.open_directory import catalog_shard, open_catalog, open_directory
from tests.support.core import Site
from tests.support.intake import rejection_of, three_customers
from tests.support.jobs import inbox_rows, job_fields, orders
from tests.support.sources import NotedEvents
from worker.conclusion import Return
from worker.routing import Router

AWAY = Return(timedelta(seconds=5), "directory_away")
PAUSED = Return(timedelta(seconds=30), "customer_paused")
CACHE = 2.0
ACTIVE = PlacementState.ACTIVE


class CatalogSite(Site):
    """A site whose customers and grants stand in a catalog: the file grants nothing to `acme`."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        section = Directory.model_validate(
            {"catalog": {"url": f"sqlite:///{directory}/catalog.db"}, "cache": f"{CACHE:g}s"}
        )
        self.settings = self.settings.model_copy(
            update={"directory": section, "partners": {"poor": Partner(types=["*"])}}
        )
        create_catalog(catalog_shard(self.settings))
        self.catalog: Catalog = open_catalog(self.settings, lambda: self.time.seconds)
        for customer_id, shard in {"c-1": "eu1", "c-2": "eu1", "c-3": "eu2"}.items():
            self.catalog.set_placement(customer_id, shard, None, ACTIVE)
        self.catalog.grant("acme", "*", "orders.insert")
        self.noted = NotedEvents()
        self.opened = open_directory(
            self.settings, self.noted, self.time.clock.monotonic, lambda: self.time.seconds
        )
        directory_, grants, clock = self.opened.directory, self.opened.grants, self.time.clock
        registry = self.intake._router._registry
        self.intake._router = Router(self.settings, registry, directory_, grants, self.fetcher, clock)

    def lose_catalog(self) -> None:
        """Let the catalog vanish."""
        self.opened.close()
        self.catalog.close()
        (self.path / "catalog.db").rename(self.path / "elsewhere.db")

    def mend_catalog(self) -> None:
        """Bring it back."""
        (self.path / "elsewhere.db").rename(self.path / "catalog.db")

    def let_the_cache_end(self) -> None:
        """What was remembered has to be asked for again."""
        self.pass_time(seconds=CACHE)

    def close(self) -> None:
        """Let go of the databases."""
        super().close()
        self.opened.close()
        self.catalog.close()


@pytest.fixture(name="site")
def catalog_site(tmp_path: Path) -> Iterator[CatalogSite]:
    site = CatalogSite(tmp_path)
    yield site
    site.close()


class TestStates:
    def test_a_job_runs_where_the_catalog_says(self, site: CatalogSite) -> None:
        """On both shards, and one question was asked for its three customers."""
        assert site.answer(three_customers())["status"] == "succeeded"
        assert (orders(site.path, "eu1"), orders(site.path, "eu2")) == ([1, 2], [3])

    @pytest.mark.parametrize("state", [PlacementState.PAUSED, PlacementState.MOVING])
    def test_a_paused_or_moving_customer_waits_uncounted(
        self, site: CatalogSite, state: PlacementState
    ) -> None:
        """The others go on; when it is active again, its part runs and nothing was counted."""
        site.catalog.set_placement("c-3", "eu2", None, state)
        assert site.conclude(three_customers()) == PAUSED
        assert (orders(site.path, "eu1"), inbox_rows(site.path, "eu2")) == ([1, 2], [])

        site.catalog.set_placement("c-3", "eu2", None, ACTIVE)
        site.let_the_cache_end()
        assert site.answer(three_customers())["status"] == "succeeded"
        assert [row["attempt"] for row in inbox_rows(site.path, "eu2")] == [0]

    @pytest.mark.parametrize(("scope", "name"), [(Scope.SHARD, "eu2"), (Scope.CUSTOMER, "c-3")])
    def test_a_control_pauses_and_resumes(self, site: CatalogSite, scope: Scope, name: str) -> None:
        """What was remembered as active waits as soon as its time is over, and goes on the same way."""
        site.answer(job_fields(job_id="before", customers=["c-3"]))
        site.catalog.pause(scope, name)
        site.let_the_cache_end()
        assert site.conclude(three_customers()) == PAUSED

        site.catalog.resume(scope, name)
        site.let_the_cache_end()
        assert site.answer(three_customers())["status"] == "succeeded"

    def test_a_shard_that_is_given_up_ends_its_parts_for_every_copy_alike(self, site: CatalogSite) -> None:
        """Without asking it: neither what was committed there nor what waits is looked for."""
        assert site.answer(three_customers())["status"] == "succeeded"
        site.catalog.give_up(Scope.SHARD, "eu2")
        site.let_the_cache_end()
        site.lose_shard("eu2")
        for _ in range(2):
            codes = [one.get("error", {}).get("code") for one in site.answer(three_customers())["customers"]]
            assert codes == [None, None, "customer_gone"]

    def test_a_customer_that_was_moved_is_found_at_its_new_shard(self, site: CatalogSite) -> None:
        """From the first job on that comes after the cache's time."""
        site.answer(job_fields(job_id="before", customers=["c-2"], payload={"order_no": 1}))
        site.catalog.set_placement("c-2", "eu2", None, ACTIVE)
        site.let_the_cache_end()
        site.answer(job_fields(job_id="after", customers=["c-2"], payload={"order_no": 2}))

        assert (orders(site.path, "eu1"), orders(site.path, "eu2")) == ([1], [2])

    def test_an_unknown_customer_waits_for_the_grace_and_then_is_refused(self, site: CatalogSite) -> None:
        """Ten minutes from when the job was first sent; a row that comes meanwhile lets it run."""
        job = job_fields(customers=["c-new"])
        sent_at = site.time.clock.now()
        assert site.conclude(job, sent_at=sent_at) == Return(timedelta(seconds=30), "unknown_customer")
        site.pass_time(minutes=10)
        assert rejection_of(site.conclude(job, sent_at=sent_at))[1] == "unknown_customer"

        site.catalog.set_placement("c-new", "eu1", None, ACTIVE)
        site.pass_time(seconds=1)
        assert site.answer(job, sent_at=sent_at)["status"] == "succeeded"

    def test_a_placement_that_cannot_be_used_waits_and_is_told(self, site: CatalogSite) -> None:
        """On a shard that this worker does not know, say: its partner did nothing wrong."""
        site.catalog.set_placement("c-1", "eu9", None, ACTIVE)
        assert site.conclude(job_fields()) == AWAY
        assert site.noted.events == ["bad c-1: The shard 'eu9' is not configured."]

    def test_no_name_from_a_job_is_ever_a_schema_or_a_shard(self, site: CatalogSite) -> None:
        """Where a part runs is told by the customer's row alone, whatever its payload says."""
        payload = {"order_no": 5, "shard": "eu2", "schema": "tenant_2", "customer_id": "c-3"}
        site.answer(job_fields(payload=payload))

        assert (orders(site.path, "eu1"), orders(site.path, "eu2")) == ([5], [])


class TestCatalogAway:
    def test_known_customers_go_on_and_others_wait(self, site: CatalogSite) -> None:
        """Never rejected, never counted, for up to the hour that answers are used; one line in the log."""
        site.answer(job_fields(job_id="before"))
        site.lose_catalog()
        site.pass_time(minutes=30)
        assert site.answer(job_fields(job_id="known", payload={"order_no": 2}))["status"] == "succeeded"
        assert site.conclude(job_fields(customers=["c-2"])) == AWAY
        site.pass_time(minutes=31)
        assert site.conclude(job_fields(job_id="late")) == AWAY
        assert len(site.noted.events) == 1

        site.mend_catalog()
        site.pass_time(seconds=30)
        assert site.answer(job_fields(job_id="late", payload={"order_no": 3}))["status"] == "succeeded"
        assert site.noted.events[1:] == ["back"]

    def test_an_unreadable_message_waits_too(self, site: CatalogSite) -> None:
        """Whether the inbox knows its job cannot be told now."""
        site.lose_catalog()
        assert site.conclude(job_fields(attachments="no list")) == AWAY


class TestGrants:
    def test_what_the_catalog_grants_is_granted_within_the_cache_s_time(self, site: CatalogSite) -> None:
        """And taken back as fast."""
        job = job_fields(partner_id="newcomer")
        assert rejection_of(site.conclude(job))[1] == "not_granted"
        site.catalog.grant("newcomer", "c-1", "*")
        site.pass_time(seconds=1)
        assert site.answer(job)["status"] == "succeeded"

        site.catalog.revoke("newcomer", "c-1", "*")
        site.let_the_cache_end()
        other = job_fields(partner_id="newcomer", job_id="other")
        assert rejection_of(site.conclude(other))[1] == "not_granted"

    def test_a_row_grants_its_customer_with_its_type_only(self, site: CatalogSite) -> None:
        """Two rows do not grant the one's customer with the other's type; a file's grant and a row add up."""
        site.catalog.grant("narrow", "c-1", "invoices")
        site.catalog.grant("narrow", "c-2", "orders.insert")
        for customers, granted in ((["c-1"], False), (["c-2"], True), (["c-1", "c-2"], False)):
            refusal = site.opened.grants.refusal("narrow", "orders.insert", customers)
            assert (refusal is None) is granted

    def test_without_the_catalog_a_grant_is_remembered_and_nothing_is_refused(
        self, site: CatalogSite
    ) -> None:
        """What is not known to be granted may have been granted since: it waits."""
        site.answer(job_fields(job_id="before"))
        site.lose_catalog()
        site.let_the_cache_end()
        assert site.answer(job_fields(job_id="granted", payload={"order_no": 2}))["status"] == "succeeded"
        assert site.conclude(job_fields(partner_id="poor")) == AWAY
        assert site.conclude(job_fields(partner_id="stranger")) == AWAY
