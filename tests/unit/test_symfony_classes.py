"""Which job type the class of a Symfony message is: the table, its wildcards, classes that nobody named."""

from typing import Any

import pytest

from config.symfony import Symfony, SymfonyMessage, best_match
from tests.support.jobs import envelope_of, held_of, job_fields
from tests.support.symfony_messages import CLASS, IMPORT_JOB, MAPPED, opened, refusal
from worker.transports.base import Attribute


@pytest.mark.parametrize(
    ("class_name", "job_type"),
    [
        (CLASS, "exact"),
        ("App\\Message\\Other", "message"),
        ("App\\Message\\Deep\\Down\\Other", "message"),
        ("App\\Other", "app"),
        ("App\\MessageOther", "app"),
        ("Other\\Thing", "any"),
        ("orders.import", "any"),
        ("x" * 1001, None),
    ],
)
def test_the_longest_match_wins(class_name: str, job_type: str | None) -> None:
    """A class itself before its namespaces, the nearest first; a name without end is none."""
    table = {CLASS: "exact", "App\\Message\\*": "message", "App\\*": "app", "*": "any"}

    assert best_match(table, class_name) == job_type


def test_a_namespace_is_not_the_class_of_the_same_name() -> None:
    r"""`App\\Message` is no message of `App\\Message\\*`."""
    assert best_match({"App\\Message\\*": "message"}, "App\\Message") is None


def test_hostile_class_names_cost_nothing() -> None:
    """Anybody can write the header."""
    assert best_match({"App\\*": "app"}, "\\" * 1_000_000) is None


def test_both_tables_name_types() -> None:
    """What is said of a class goes before what is said of its namespace, in whichever table."""
    symfony = Symfony(
        types={CLASS: "exact", "App\\*": "app"},
        messages={"App\\Message\\*": SymfonyMessage(type="message")},
    )

    assert symfony.job_type_of(CLASS) == "exact"
    assert symfony.job_type_of("App\\Message\\Other") == "message"
    assert symfony.job_type_of("App\\Other") == "app"
    assert symfony.job_type_of("Other") is None


@pytest.mark.parametrize("body", [{}, {"type": None}, {"type": 7}, {"type": "no type"}])
def test_a_class_that_nobody_named_is_an_unknown_type(body: dict[str, Any]) -> None:
    """Not a bad message: the message may be good, and the configuration behind."""
    error = refusal(MAPPED, {**IMPORT_JOB, **body}, "App\\Message\\Other")

    assert error.code == "unknown_type"
    assert "'App\\\\Message\\\\Other'" in str(error)


def test_so_it_is_where_nothing_is_configured() -> None:
    """The header alone says that it is Symfony's."""
    assert refusal(Symfony(), IMPORT_JOB).code == "unknown_type"


def test_a_class_name_is_cut_in_the_reason() -> None:
    """And harmless."""
    reason = str(refusal(Symfony(), {}, "\ud800\n" + "x" * 10_000))

    assert len(reason) < 300
    assert reason.isprintable()


def test_a_body_with_a_type_of_ours_keeps_it() -> None:
    """Whatever class it says it is."""
    assert opened(MAPPED, job_fields(type="from.body"), "App\\Unknown").job_type == "from.body"
    assert opened(Symfony(), job_fields(type="from.body"), "App\\Unknown").job_type == "from.body"


def test_the_class_wins_over_the_body_s_type() -> None:
    """Where it is named; a property of that name may be anything."""
    envelope = opened(MAPPED, {**IMPORT_JOB, "type": "csv"})

    assert (envelope.job_type, envelope.job.type) == ("orders.insert", "orders.insert")


def test_an_attribute_of_another_data_type_is_no_header() -> None:
    """As Symfony reads them: exactly `String`."""
    custom = Attribute("String.custom", CLASS)
    held = held_of(job_fields(type="from.body"), attributes={"type": custom})

    assert envelope_of(held, MAPPED).job_type == "from.body"
