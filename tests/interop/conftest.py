"""A world on one SQS server, with a Symfony application as its other side."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sqs_server import SqsServer
from tests.support.symfony_application import SymfonyApplication, need_symfony
from tests.support.symfony_site import SYMFONY, MakeSite, Site

PATIENT = {"lease": "60s", "worker": 'running_interval = "10m"'}
"""However slow the machine is, no message is delivered twice and no job is told of before it is done."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SqsServer]:
    need_symfony()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with SqsServer() as server:
        yield server


@pytest.fixture
def make_site(server: SqsServer, tmp_path: Path) -> Iterator[MakeSite]:
    """Makes the test's world; options go into its configuration."""
    sites: list[Site] = []

    def make(symfony: str = SYMFONY, suffix: str = "", **options: str) -> Site:
        request, response, failure = (
            f"sqs+{server.endpoint_url}/000000000000/{queue}{suffix}"
            for queue in ("requests", "responses", "failures")
        )
        sites.append(Site(tmp_path, request, response, failure, {**PATIENT, "extra": symfony, **options}))
        return sites[-1]

    yield make
    for site in sites:
        site.close()


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site()


@pytest.fixture
def symfony(server: SqsServer, tmp_path: Path) -> SymfonyApplication:
    return SymfonyApplication(server.endpoint_url.removeprefix("http://"), tmp_path)
