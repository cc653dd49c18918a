"""The section `[symfony]`: what could read no message, or read it in two ways, is told at start."""

from typing import Any

import pytest

from config.checks import find_problems
from config.problems import key_path
from config.settings import Settings

QUEUES = {"request": ["sqs://jobs"], "response": "sqs://results", "failure": "sqs://failures"}
CLASS = "App\\Message\\ImportJob"
AT_CLASS = 'symfony.messages."App\\\\Message\\\\ImportJob"'


def told(**symfony: Any) -> dict[str, str]:
    """What is wrong with a section, by the places."""
    settings = Settings.model_validate({"queues": QUEUES, "symfony": symfony})
    return {key_path(finding.location): finding.text for finding in find_problems(settings)}


def test_all_of_it_together_is_no_problem() -> None:
    """Types, names for all classes, and a class with names of its own."""
    assert (
        told(
            types={CLASS: "jobs.import", "App\\Message\\*": "jobs.any", "orders.import": "orders.insert"},
            fields={"jobId": "job_id", "customerId": "customers"},
            constants={"partner_id": "acme"},
            messages={
                CLASS: {"fields": {"id": "job_id", "*": "payload"}, "constants": {"customers": "c-1"}},
                "Other\\*": {"type": "others.import"},
                "Typed": {"fields": {"kind": "type"}},
            },
        )
        == {}
    )


@pytest.mark.parametrize(
    ("symfony", "place", "text"),
    [
        ({"types": {"App\\*\\Import": "t"}}, 'symfony.types."App\\\\*\\\\Import"', "a namespace and \\*"),
        ({"types": {"App*": "t"}}, 'symfony.types."App*"', "a namespace and \\*"),
        ({"types": {"": "t"}}, 'symfony.types.""', "a class name"),
        ({"types": {"App": "no type"}}, "symfony.types.App", "expected a job type"),
        ({"messages": {CLASS: {"type": ""}}}, f"{AT_CLASS}.type", "expected a job type"),
        ({"messages": {CLASS: {}}}, AT_CLASS, "expected a job type, found none"),
        ({"types": {CLASS: "a"}, "messages": {CLASS: {"type": "b"}}}, f"{AT_CLASS}.type", "found another"),
        ({"fields": {"jobId": "jobid"}}, "symfony.fields.jobId", 'did you mean "job_id"?'),
        ({"fields": {"*": "payload"}}, 'symfony.fields."*"', "[symfony.messages]"),
        ({"constants": {"job_id": "j"}}, "symfony.constants.job_id", "unknown constant"),
        ({"constants": {"partner_id": "no partner!"}}, "symfony.constants.partner_id", "expected text of"),
        (
            {"messages": {CLASS: {"type": "t", "fields": {"*": "customers"}}}},
            f'{AT_CLASS}.fields."*"',
            'expected "payload"',
        ),
        (
            {"messages": {CLASS: {"type": "t", "fields": {"*": "payload", "rows": "payload"}}}},
            f'{AT_CLASS}.fields."*"',
            "found two",
        ),
        (
            {"messages": {CLASS: {"type": "t", "constants": {"customers": ""}}}},
            f"{AT_CLASS}.constants.customers",
            "expected text of",
        ),
    ],
)
def test_what_reads_nothing_or_reads_it_twice_is_a_problem(
    symfony: dict[str, Any], place: str, text: str
) -> None:
    """With its place as the file writes it."""
    problems = told(**symfony)

    assert list(problems) == [place]
    assert text in problems[place]
