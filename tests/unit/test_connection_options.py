"""What the drivers are told about TLS and poolers, and when an idle connection is pinged."""

import ssl
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import QueuePool

from config import settings
from shards import connection_tls, engine_events
from shards.connection_drivers import connector
from shards.connection_tls import CertificatesUnreadable, shared_context
from shards.engine_options import connect_arguments, patience_seconds
from shards.engines import Shard, Shards
from shards.failures import Kind, classify

POSTGRESQL = "postgresql+psycopg://w@db/c"
MYSQLCLIENT = "mariadb+mysqldb://w@db/c"


def arguments_of(url: str, **values: object) -> dict[str, object]:
    section = settings.Shard.model_validate({"url": url, **values})
    return connect_arguments(make_url(url), section)


@pytest.mark.parametrize(
    ("tls", "postgresql", "mysqlclient"),
    [
        ("off", "disable", "DISABLED"),
        ("prefer", "prefer", "PREFERRED"),
        ("require", "require", "REQUIRED"),
        ("verify", "verify-full", "VERIFY_IDENTITY"),
    ],
)
def test_each_driver_is_told_of_tls_in_its_own_words(tls: str, postgresql: str, mysqlclient: str) -> None:
    """The four settings, and nothing weaker."""
    assert arguments_of(POSTGRESQL, tls=tls)["sslmode"] == postgresql
    assert arguments_of(MYSQLCLIENT, tls=tls)["ssl_mode"] == mysqlclient


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("w@db/c", "verify-full"),
        ("w@10.0.0.7:5432/c", "verify-full"),
        ("w@localhost.example.com/c", "verify-full"),
        ("w@localhost,db/c", "verify-full"),
        ("w@localhost/c?host=db:5432", "verify-full"),
        ("w@/c?host=127.0.0.1:5432&host=db:5432", "verify-full"),
        ("w@localhost/c?hostaddr=10.0.0.7", "verify-full"),
        ("w@localhost:5432/c", "prefer"),
        ("w@127.0.0.1:5432/c", "prefer"),
        ("w@[::1]:5432/c", "prefer"),
        ("w@/c?host=/var/run/postgresql", "prefer"),
        ("w@/c?host=127.0.0.1:5432", "prefer"),
        ("w@/c", "prefer"),
    ],
)
def test_whatever_leaves_the_machine_is_verified_unless_something_else_is_said(
    place: str, expected: str
) -> None:
    """Nobody has to think of it; a socket and a loopback address need no certificate."""
    assert arguments_of(f"postgresql+psycopg://{place}")["sslmode"] == expected


def test_certificates_are_checked_against_the_file_or_the_system_s() -> None:
    """A library that looks for them in a directory of its own is told where the system's are."""
    file = {"tls": "verify", "tls_ca_file": "/etc/own.pem"}
    assert arguments_of(POSTGRESQL, **file)["sslrootcert"] == "/etc/own.pem"
    assert arguments_of(MYSQLCLIENT, **file)["ssl"] == {"ca": "/etc/own.pem"}

    found = str(arguments_of(POSTGRESQL, tls="verify")["sslrootcert"])
    assert found == "system" or Path(found).exists()
    assert "sslrootcert" not in arguments_of(POSTGRESQL, tls="require", tls_ca_file="/etc/own.pem")


def test_a_machine_without_the_usual_list_leaves_it_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is named that is not there."""
    monkeypatch.setattr(connection_tls, "SYSTEM_CERTIFICATES", Path("/nowhere/at/all.pem"))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: SimpleNamespace(cafile=None))

    assert arguments_of(POSTGRESQL, tls="verify")["sslrootcert"] == "system"
    assert "ssl" not in arguments_of(MYSQLCLIENT, tls="verify")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_certificates_that_cannot_be_used_is_told_by_name(
    tmp_path: Path, content: str | None
) -> None:
    """The shard is away until it can be read."""
    file = tmp_path / "authority.pem"
    if content is not None:
        file.write_text(content, encoding="ascii")
    with pytest.raises(
        CertificatesUnreadable, match=r"tls_ca_file, .*authority\.pem, cannot be used"
    ) as error:
        shared_context(file, verify=True)

    assert classify(error.value, "mariadb").kind is Kind.AWAY


def test_a_pooler_is_asked_for_nothing_that_lasts_longer_than_a_transaction() -> None:
    """No start-up options, which it refuses, and no prepared statements, which the next session lacks."""
    arguments = arguments_of(POSTGRESQL, pooler=True)

    assert "options" not in arguments
    assert arguments["prepare_threshold"] is None
    assert "options" in arguments_of(POSTGRESQL)


def test_a_connection_waits_a_little_longer_than_a_statement_may_take() -> None:
    """The server's own time-out comes first: it says what it was."""
    section = settings.Shard.model_validate({"url": POSTGRESQL, "statement_timeout": "90s"})

    assert patience_seconds(section) == 100


def test_sqlite_connects_as_its_driver_does() -> None:
    """There is no server to be silent."""
    url = "sqlite:////none/1.db"

    assert connector(make_url(url), settings.Shard(url=url)) is None


def test_a_connection_is_pinged_only_after_it_was_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ping is a round trip: at 30 seconds there is none, a moment later there is one."""
    now = 0.0
    pings: list[float] = []
    engine = create_engine("sqlite://", poolclass=QueuePool)
    monkeypatch.setattr(engine.dialect, "do_ping", lambda _: pings.append(now))
    engine_events._ping_after_idleness(engine, 3, lambda: now)
    for seconds in (0.0, 0.0, 30.0, 30.1, 1.0):
        now += seconds
        with engine.connect():
            pass
    engine.dispose()

    assert pings == [60.1]


def test_shards_of_one_server_share_its_budget() -> None:
    """By the server's name in the settings or in the URL; no shard's limit is larger than the budget."""
    section = settings.Shard(url="postgresql://w@db/one", limit=9)
    renamed = settings.Shard(url="postgresql://w@other/two", server="db:5432")
    budget = {"db:5432": settings.Server(connections=3)}
    shards = Shards({"one": section, "two": renamed}, budget)

    assert [shards.get("one").limit, shards.get("two").limit] == [3, 3]
    assert shards.beside("catalog", section).limit == 3
    assert shards.open_connections() == {"db:5432": 0}
    assert (Shards({"one": section}).get("one").limit, Shard("one", section).limit) == (9, 9)
