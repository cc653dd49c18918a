"""The directory of the configuration file, and the grants."""

import pytest

from config import settings
from shards.directory import Placement, PlacementState, StaticDirectory
from shards.grants import Grants


def directory(customers: dict[str, object]) -> StaticDirectory:
    return StaticDirectory(settings.Directory.model_validate({"customers": customers}))


def grants(**partners: tuple[list[str], list[str]]) -> Grants:
    return Grants(
        {
            name: settings.Partner(customers=customers, types=types)
            for name, (customers, types) in partners.items()
        }
    )


def test_a_customer_is_found_where_the_file_places_it() -> None:
    """A shard alone, or a table with schema, state and epoch: both are placements."""
    found = directory(
        {"c-1": "eu1", "c-2": {"shard": "eu2", "schema": "tenant_2", "state": "paused", "epoch": 7}}
    ).find(["c-1", "c-2"])

    assert found == {
        "c-1": Placement("c-1", "eu1", None, PlacementState.ACTIVE, 1),
        "c-2": Placement("c-2", "eu2", "tenant_2", PlacementState.PAUSED, 7),
    }


def test_an_unknown_customer_is_missing_and_the_others_are_found() -> None:
    """Missing means unknown; it is no error of the look-up."""
    assert list(directory({"c-1": "eu1"}).find(["c-0", "c-1"])) == ["c-1"]


def test_everything_granted_is_no_refusal() -> None:
    """Types and customers that are all named pass."""
    assert grants(acme=(["c-1", "c-2"], ["orders"])).refusal("acme", "orders", ["c-2", "c-1"]) is None


@pytest.mark.parametrize(
    ("customers", "types"),
    [(["*"], ["orders"]), (["c-1"], ["*"]), (["*"], ["*"]), (["c-9", "*"], ["*", "x"])],
)
def test_a_star_grants_all(customers: list[str], types: list[str]) -> None:
    """`*` stands for every customer, or every type."""
    assert grants(acme=(customers, types)).refusal("acme", "orders", ["c-1"]) is None


def test_a_star_inside_a_name_is_no_pattern() -> None:
    """Only the star alone is a wildcard: `c-*` is the customer of that name."""
    assert grants(acme=(["c-*"], ["*"])).refusal("acme", "orders", ["c-1"]) is not None


def test_an_unknown_partner_is_refused() -> None:
    """Who is not in the file has nothing."""
    refusal = grants(acme=(["*"], ["*"])).refusal("other", "orders", ["c-1"])

    assert refusal == "The partner 'other' is not known here: nothing is granted to it."


def test_a_type_that_is_not_granted_is_named() -> None:
    """The sentence names the type and the partner."""
    refusal = grants(acme=(["*"], ["orders"])).refusal("acme", "invoices", ["c-1"])

    assert refusal == "The job type 'invoices' is not granted to the partner 'acme'."


def test_the_customers_that_are_not_granted_are_named() -> None:
    """One of many that is not granted refuses the job, and is named."""
    refusal = grants(acme=(["c-1"], ["*"])).refusal("acme", "orders", ["c-1", "c-2"])

    assert refusal == "Not granted to the partner 'acme': the customer 'c-2'."


def test_of_very_many_customers_only_some_are_named() -> None:
    """A job of thousands of customers does not make a sentence of thousands."""
    refusal = grants(acme=([], ["*"])).refusal("acme", "orders", [f"c-{number}" for number in range(1000)])

    assert refusal == (
        "Not granted to the partner 'acme': the customers 'c-0', 'c-1', 'c-2', 'c-3', 'c-4' and 995 more."
    )
