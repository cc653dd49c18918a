"""The section `[symfony]`: what could read no message, or read it in two ways, is told at start."""

from typing import Any

import pytest
from pydantic import ValidationError

from config.checks import find_problems, find_warnings
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
            result_class="App\\Message\\JobResult",
            result_fields={"job_id": "jobId", "type": "status", "status": "type"},
            failure_stamps=True,
            job_class=CLASS,
            signed_types=[CLASS, "App\\*", "*"],
            sign_key_files=["/etc/key"],
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
        ({"result_fields": {"jobid": "x"}}, "symfony.result_fields.jobid", 'did you mean "job_id"?'),
        ({"result_fields": {"run": "a b"}}, "symfony.result_fields.run", "a property's name"),
        ({"result_fields": {"run": "status"}}, "symfony.result_fields.run", "for two"),
        ({"signed_types": ["App*"], "sign_key_files": ["/k"]}, "symfony.signed_types[0]", "a class name"),
        ({"signed_types": [CLASS]}, "symfony.signed_types", "found none"),
        ({"sign_key_files": ["key"]}, "symfony.sign_key_files[0]", "credential:NAME"),
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


@pytest.mark.parametrize(
    ("section", "place"),
    [
        ({"bus": "b"}, "symfony.bus"),
        ({"job_class": CLASS}, "symfony.job_class"),
        ({"receiver_name": "imports"}, "symfony.receiver_name"),
        ({"bus": "b", "result_class": CLASS}, None),
        ({"job_class": CLASS, "receiver_name": "imports", "failure_stamps": True}, None),
    ],
)
def test_what_has_no_effect_by_itself_is_warned_of(section: dict[str, Any], place: str | None) -> None:
    """The operator meant something by it."""
    settings = Settings.model_validate({"queues": QUEUES, "symfony": section})
    places = {key_path(finding.location) for finding in find_warnings(settings)} - {"shards"}

    assert places == (set() if place is None else {place})


@pytest.mark.parametrize(
    ("section", "places"),
    [
        ({"types": {"App\\Message\\*": "t"}}, {'symfony.types."App\\\\Message\\\\*"'}),
        ({"types": {CLASS: "t"}, "messages": {"Other": {"type": "t"}}}, {"symfony.messages.Other"}),
        ({"types": {CLASS: "t", "Other": "of another"}}, set()),
        ({"types": {CLASS: "t", "Other": "t"}, "signed_types": ["*"]}, set()),
    ],
)
def test_a_way_past_a_signature_is_warned_of(section: dict[str, Any], places: set[str]) -> None:
    """Who names one class as signed believes that its jobs are: another entry for them must not go unseen."""
    symfony = {"signed_types": [CLASS], "sign_key_files": ["/etc/key"], **section}
    settings = Settings.model_validate({"queues": QUEUES, "symfony": symfony})

    assert {key_path(finding.location) for finding in find_warnings(settings)} - {"shards"} == places


@pytest.mark.parametrize("name", ["\\App\\Message", "", "App *"])
def test_a_class_is_named_as_headers_name_it(name: str) -> None:
    """Without a backslash before it: Symfony would look for another class."""
    with pytest.raises(ValidationError):
        Settings.model_validate({"queues": QUEUES, "symfony": {"result_class": name}})
