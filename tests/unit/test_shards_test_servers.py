"""Where a test's server is missing: skipped on a newcomer's machine, a failure where it must be there."""

from collections.abc import Callable

import pytest

from tests.support import mariadb, postgresql, private_server

SERVERS = {
    "apt-get install postgresql": postgresql.postgresql_or_skip,
    "apt-get install mariadb-server": mariadb.mariadb_or_skip,
}
each_server = pytest.mark.parametrize(("remedy", "look_for"), SERVERS.items())


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (postgresql, mariadb):
        monkeypatch.setattr(module, "_find_programs", lambda: None)


@each_server
def test_without_a_server_its_tests_are_skipped_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, remedy: str, look_for: Callable[[], object]
) -> None:
    """The reason says what to install."""
    monkeypatch.delenv(private_server.REQUIRED, raising=False)

    with pytest.raises(pytest.skip.Exception, match=remedy):
        look_for()


@each_server
def test_where_servers_are_required_a_missing_one_fails_the_tests(
    monkeypatch: pytest.MonkeyPatch, remedy: str, look_for: Callable[[], object]
) -> None:
    """A build that was to run them must not pass without them."""
    monkeypatch.setenv(private_server.REQUIRED, "required")

    with pytest.raises(pytest.fail.Exception, match=f"{remedy}.*SHARDWORKER_TEST_SERVERS=required"):
        look_for()
