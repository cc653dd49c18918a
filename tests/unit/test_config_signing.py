"""The section `[signing]`: what could verify no message is told at start, what shuts nobody out too."""

from typing import Any

import pytest

from config.checks import find_problems, find_warnings
from config.problems import key_path
from config.settings import Settings
from config.signing import Signing

QUEUES = {"request": ["sqs://jobs"], "response": "sqs://results", "failure": "sqs://failures"}


def settings(**signing: Any) -> Settings:
    return Settings.model_validate({"queues": QUEUES, "signing": signing})


def problems(**signing: Any) -> dict[str, str]:
    """What is wrong with a section, by the places."""
    return {key_path(finding.location): finding.text for finding in find_problems(settings(**signing))}


def test_keys_and_types_together_are_no_problem() -> None:
    """Single types, or all."""
    assert problems(key_files=["/etc/a", "/etc/b"], required_types=["orders.insert", "*"]) == {}
    assert problems() == {}


@pytest.mark.parametrize(
    ("signing", "place", "text"),
    [
        ({"required_types": ["*"]}, "signing.required_types", "a key beside it in key_files, found none"),
        ({"required_types": ["no type"], "key_files": ["/k"]}, "signing.required_types[0]", "a job type"),
        ({"key_files": ["key"]}, "signing.key_files[0]", "an absolute path or credential:NAME"),
    ],
)
def test_what_could_verify_no_message_is_a_problem(signing: dict[str, Any], place: str, text: str) -> None:
    """Before a worker starts and refuses all that comes."""
    found = problems(**signing)

    assert found.keys() == {place}
    assert text in found[place]


@pytest.mark.parametrize(("types", "is_told"), [([], True), (["*"], False), (["orders.insert"], False)])
def test_keys_that_shut_nobody_out_are_warned_of(types: list[str], *, is_told: bool) -> None:
    """While keys are handed out it is so: nobody must take it for the end."""
    found = [
        one.text
        for one in find_warnings(settings(key_files=["/k"], required_types=types))
        if key_path(one.location) == "signing.key_files"
    ]

    assert len(found) == is_told


@pytest.mark.parametrize(
    ("types", "job_type", "required"),
    [
        (["*"], "", True),
        (["*"], "orders.insert", True),
        (["orders.insert"], "orders.insert", True),
        (["orders.insert"], "orders.inserts", False),
        (["orders.insert"], "", False),
        ([], "orders.insert", False),
    ],
)
def test_a_type_that_is_named_asks_for_a_signature(
    types: list[str], job_type: str, *, required: bool
) -> None:
    """`*` asks for everything, also for what has no type at all."""
    assert Signing(required_types=types).requires(job_type) is required
