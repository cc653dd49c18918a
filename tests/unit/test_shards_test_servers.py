"""Where a test's server is missing: skipped on a newcomer's machine, a failure where it must be there."""

import pytest

from tests.support import postgresql


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "_find_programs", lambda: None)


def test_without_a_server_its_tests_are_skipped_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason says what to install."""
    monkeypatch.delenv(postgresql.REQUIRED, raising=False)

    with pytest.raises(pytest.skip.Exception, match="apt-get install postgresql"):
        postgresql.postgresql_or_skip()


def test_where_servers_are_required_a_missing_one_fails_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that was to run them must not pass without them."""
    monkeypatch.setenv(postgresql.REQUIRED, "required")

    with pytest.raises(pytest.fail.Exception, match="SHARDWORKER_TEST_SERVERS=required asks for it"):
        postgresql.postgresql_or_skip()
