"""TLS to real servers: what each setting asks for is what there is, with each driver."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from config import settings
from shards.connection_tls import shared_context
from shards.engines import Shard
from shards.failures import Failure, Kind, classify
from tests.support.certificates import HOST, Certificates, certificates
from tests.support.mariadb import MariaDBServer, running_mariadb
from tests.support.postgresql import PostgreSQLServer, running_postgresql
from tests.support.private_server import PASSWORD

ENCRYPTED = {
    "postgresql": "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    "mariadb": "SELECT variable_value <> '' FROM information_schema.session_status"
    " WHERE variable_name = 'Ssl_cipher'",
}
OTHER_NAMES = {"psycopg": "localhost", "pymysql": "localhost", "mysqldb": "127.1"}
every_driver = pytest.mark.parametrize("driver", ["psycopg", "pymysql", "mysqldb"])
UrlOf = Callable[[str, str], str]


@pytest.fixture(scope="module", name="files")
def make_certificates() -> Iterator[Certificates]:
    with certificates() as files:
        yield files


@pytest.fixture(scope="module", name="encrypting")
def start_encrypting_servers(files: Certificates) -> Iterator[UrlOf]:
    """The URL by driver and host of servers that offer TLS."""
    postgresql = running_postgresql(
        ssl="on", ssl_cert_file=str(files.server), ssl_key_file=str(files.server_key)
    )
    mariadb = running_mariadb(ssl_cert=str(files.server), ssl_key=str(files.server_key))
    with postgresql as first, mariadb as second:
        yield lambda driver, host: url_of(first, second, driver, host)


@pytest.fixture(name="plain")
def give_plain_servers(server: PostgreSQLServer, mariadb_server: MariaDBServer) -> UrlOf:
    """The URL by driver and host of servers that offer none."""
    return lambda driver, host: url_of(server, mariadb_server, driver, host)


@every_driver
@pytest.mark.parametrize(("tls", "encrypted"), [("off", False), ("prefer", True), ("require", True)])
def test_a_server_that_offers_tls_is_asked_for_it(
    encrypting: UrlOf, driver: str, tls: str, *, encrypted: bool
) -> None:
    """`off` does without, `prefer` and `require` take it, whatever the certificate says."""
    assert is_encrypted(shard_of(encrypting(driver, HOST), tls)) == encrypted


@every_driver
@pytest.mark.parametrize("tls", ["off", "prefer"])
def test_a_server_that_offers_no_tls_is_used_without(plain: UrlOf, driver: str, tls: str) -> None:
    """`prefer` is content with what the server has, at each connection anew."""
    assert not is_encrypted(shard_of(plain(driver, HOST), tls))


@every_driver
@pytest.mark.parametrize("tls", ["require", "verify"])
def test_a_server_that_offers_no_tls_is_away_where_it_must(
    plain: UrlOf, files: Certificates, driver: str, tls: str
) -> None:
    """Nothing is sent in the clear that was to be encrypted."""
    failure = refusal(shard_of(plain(driver, HOST), tls, files.authority if tls == "verify" else None))

    assert (failure.kind, failure.code) == (Kind.AWAY, "shard_away")


@every_driver
def test_a_certificate_is_verified(encrypting: UrlOf, files: Certificates, driver: str) -> None:
    """Signed by the authority of `tls_ca_file`, and naming the URL's host."""
    assert is_encrypted(shard_of(encrypting(driver, HOST), "verify", files.authority))


@every_driver
@pytest.mark.parametrize("wrong", ["host", "authority", "system"])
def test_a_certificate_that_says_something_else_is_refused(
    encrypting: UrlOf, files: Certificates, driver: str, wrong: str
) -> None:
    """Another host's, another authority's, or one that the system does not know."""
    host = OTHER_NAMES[driver] if wrong == "host" else HOST
    authority = {"host": files.authority, "authority": files.stranger, "system": None}[wrong]
    failure = refusal(shard_of(encrypting(driver, host), "verify", authority))

    assert (failure.kind, failure.code) == (Kind.AWAY, "shard_away")
    assert PASSWORD not in failure.message
    assert "must be signed by one of tls_ca_file and name the host of the URL" in failure.message


@every_driver
def test_a_file_of_certificates_that_is_missing_is_a_shard_that_is_away(
    encrypting: UrlOf, tmp_path: Path, driver: str
) -> None:
    """It may be mounted later: no part fails for want of it."""
    failure = refusal(shard_of(encrypting(driver, HOST), "verify", tmp_path / "missing.pem"))

    assert failure.kind is Kind.AWAY


def test_pymysql_s_connections_share_one_context(files: Certificates) -> None:
    """Making one for each connection would take most of the time that connecting takes."""
    assert shared_context(files.authority, verify=True) is shared_context(files.authority, verify=True)
    assert shared_context(None, verify=False) is not shared_context(files.authority, verify=True)


def url_of(postgresql: PostgreSQLServer, mariadb: MariaDBServer, driver: str, host: str) -> str:
    if driver == "psycopg":
        return postgresql.url("postgres").replace(HOST, host)
    return mariadb.url("", driver=f"mariadb+{driver}").replace(HOST, host)


def shard_of(url: str, tls: str, ca_file: Path | None = None) -> Shard:
    section = {"url": url, "tls": tls, "tls_ca_file": ca_file}
    return Shard("one", settings.Shard.model_validate(section))


def is_encrypted(shard: Shard) -> bool:
    with shard.connect() as connection:
        encrypted = connection.execute(text(ENCRYPTED[shard.dialect])).scalar_one()
    shard.close()
    return bool(encrypted)


def refusal(shard: Shard) -> Failure:
    with pytest.raises(Exception) as error, shard.connect():  # noqa: PT011  its kind is what counts
        pass
    return classify(error.value, shard.dialect)
