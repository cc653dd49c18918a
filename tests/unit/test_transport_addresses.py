"""Queue URLs, and the transports that they open."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Queues
from worker.transports.addresses import (
    Address,
    AmqpAddress,
    BadQueueUrl,
    RedisAddress,
    SqlAddress,
    SqsAddress,
    read_address,
    sqlite_url,
)
from worker.transports.amqp import AmqpTransport
from worker.transports.base import TransportError
from worker.transports.factory import open_transport
from worker.transports.passwords import password_reader
from worker.transports.redis import RedisTransport
from worker.transports.sql import SqlTransport
from worker.transports.sql_table import sqlite_path
from worker.transports.sqs import SqsTransport

SETTINGS = Queues(request=["sqs://a"], response="sqs://b", failure="sqs://c", region="eu-west-1")
HTTPS = "https://sqs.eu-west-1.amazonaws.com"
VPC = "vpce-1.sqs.eu-central-1.vpce.amazonaws.com"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("sqs://requests", SqsAddress("requests")),
        (
            "sqs://sqs.eu-west-1.amazonaws.com/123456789012/requests",
            SqsAddress("requests", f"{HTTPS}/123456789012/requests", HTTPS, "eu-west-1"),
        ),
        (
            f"sqs://{VPC}/123456789012/requests",
            SqsAddress("requests", f"https://{VPC}/123456789012/requests", f"https://{VPC}", "eu-central-1"),
        ),
        (
            "sqs+http://127.0.0.1:9324/000000000000/requests",
            SqsAddress(
                "requests", "http://127.0.0.1:9324/000000000000/requests", "http://127.0.0.1:9324", None
            ),
        ),
        ("sqs+http://127.0.0.1:9324/requests", SqsAddress("requests", None, "http://127.0.0.1:9324", None)),
        ("sql:///var/q.db?queue=requests", SqlAddress(sqlite_url("/var/q.db"), "requests")),
        ("sql:////var/q.db?queue=requests", SqlAddress(sqlite_url("/var/q.db"), "requests")),
        ("sql+sqlite:////var/q.db?queue=requests", SqlAddress(sqlite_url("/var/q.db"), "requests")),
        ("amqp://mq?queue=requests", AmqpAddress("amqp://mq", "requests")),
        ("amqps://u:p%3Fw@mq:5671/v?queue=a.b", AmqpAddress("amqps://u:p%3Fw@mq:5671/v", "a.b")),
        ("amqp://[::1]:5672//?queue=requests", AmqpAddress("amqp://[::1]:5672//", "requests")),
        ("sqs://" + 75 * "a" + ".fifo", SqsAddress(75 * "a" + ".fifo")),
        ("redis://cache?queue=requests", RedisAddress("redis://cache", "requests")),
        ("rediss://:pw@cache:6380/2?queue=requests", RedisAddress("rediss://:pw@cache:6380/2", "requests")),
    ],
)
def test_a_queue_url_names_a_queue_and_where_it_is(url: str, address: Address) -> None:
    """Each form of the documentation is understood."""
    assert read_address(url) == address


@pytest.mark.parametrize("url", ["amqp://u:s3cret@mq?queue=a", "redis://:s3cret@mq?queue=a"])
def test_what_is_printed_of_a_broker_has_no_password(url: str) -> None:
    """An address ends in tracebacks and in a debugger's output."""
    assert "s3cret" not in repr(read_address(url))


def test_a_database_url_keeps_its_own_options() -> None:
    """Only the queue's name is taken out of it."""
    address = read_address("sql+postgresql+psycopg://user:pw@host/db?sslmode=require&queue=requests")
    assert isinstance(address, SqlAddress)
    assert address.queue_name == "requests"
    assert address.url.render_as_string(hide_password=False) == (
        "postgresql+psycopg://user:pw@host/db?sslmode=require"
    )


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00/"), min_size=1, max_size=30))
def test_any_file_name_is_found_again(name: str) -> None:
    """Question marks, percent signs and the like are part of a name, not of the URL."""
    assert sqlite_path(sqlite_url(f"/var/{name}")) == Path(f"/var/{name}")


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("requests", "without ://"),
        ("", "without ://"),
        ("kafka://requests", "'kafka'"),
        ("https://sqs.eu-west-1.amazonaws.com/1/requests", "'https'"),
        ("sql:///var/q.db?queue=orders.fifo", "FIFO"),
        ("sqs://.fifo", "no queue name"),
        ("sqs://" + 76 * "a" + ".fifo", "no queue name"),
        ("sqs://", "no queue name"),
        ("sqs://a b", "no queue name"),
        ("sqs://requests?x=1", "no user, query"),
        ("sqs://user:s3cret@host/1/requests", "no user, query"),
        ("sql://host/q.db?queue=requests", "three slashes"),
        ("sql:///?queue=requests", "three slashes"),
        ("sql:///var/q.db", r"\?queue=NAME"),
        ("sql:///var/q.db?queue=", "no queue name"),
        ("sql:///var/q.db?queue=a&x=1", r"\?queue=NAME"),
        ("sql+mysql+pymysql://user:s3cret@host/db?queue=a", "'mysql'"),
        ("sql+nonsense", "without ://"),
        ("sql+postgresql+psycopg://user:s3cret@host/db", r"\?queue=NAME"),
        ("sql+sqlite://?queue=a", "not absolute"),
        ("sql+://user:s3cret@host?queue=a", "no SQLAlchemy URL"),
        ("sqs://[x/1/requests", "no URL"),
        ("amqp://u:s3cret@host/vhost", r"\?queue=NAME"),
        ("amqp://u:s3cret@host/vhost?queue=a&heartbeat=3", r"\?queue=NAME"),
        ("amqp://u:s3cret@host/?queue=", "no queue name"),
        ("amqp://u:s3cret@host/?queue=amq.a", "no queue name"),
        ("amqp://u:s3cret@host/?queue=orders.fifo", "FIFO"),
        ("amqp://u:s3cret?x@host/?queue=a", "written as %XX"),
        ("amqps://u:s3cret#x@host/?queue=a", "written as %XX"),
        ("amqp://u:s3cret/x@host/?queue=a", "written as %XX"),
        ("amqp://u:s3cret[@host/?queue=a", "no URL"),
        ("amqp:///vhost?queue=a", "host is missing"),
        ("redis://:s3cret@host/0", r"\?queue=NAME"),
        ("redis://:s3cret@host:66666/0?queue=a", "written as %XX"),
        ("redis://:s3cret@host/orders?queue=a", "database's number"),
        ("redis://:s3cret@host/0?queue=orders.fifo", "FIFO"),
        ("sqs+http://a b/1/requests", "an endpoint such as"),
    ],
)
def test_a_bad_queue_url_says_what_was_expected_and_found(url: str, found: str) -> None:
    """And repeats no password."""
    with pytest.raises(BadQueueUrl, match=found) as raised:
        read_address(url)
    assert "expected " in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_a_url_opens_its_transport_without_touching_anything(tmp_path: Path) -> None:
    """Opening connects to nothing and creates nothing."""
    embedded = open_transport(f"sql://{tmp_path}/q.db?queue=requests", SETTINGS, timedelta(seconds=30))
    urls = ("sqs://requests", "amqp://mq.invalid?queue=requests", "redis://cache.invalid?queue=requests")
    remote = [open_transport(url, SETTINGS, timedelta(seconds=30)) for url in urls]
    assert isinstance(embedded, SqlTransport)
    assert [type(one) for one in remote] == [SqsTransport, AmqpTransport, RedisTransport]
    assert {one.name for one in (embedded, *remote)} == {"requests"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "is_read"), [("redis://127.0.0.1:1?queue=a", True), ("redis://:pw@127.0.0.1:1?queue=a", False)]
)
def test_the_password_file_is_for_urls_without_a_password(url: str, is_read: bool) -> None:  # noqa: FBT001  # a table
    """A second broker can have a password of its own; that of the file is not shown to it."""
    settings = SETTINGS.model_copy(update={"password_file": Path("/nowhere/password")})
    transport = open_transport(url, settings, timedelta(seconds=30))

    with pytest.raises(TransportError) as raised:
        transport.depth()
    assert ("/nowhere/password" in str(raised.value)) is is_read


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:9324", "ftp://host", "http://", "http://host:port", "http://a b"]
)
def test_a_bad_endpoint_in_the_settings_is_told(endpoint: str) -> None:
    """Before anything is sent there."""
    settings = SETTINGS.model_copy(update={"endpoint_url": endpoint})
    with pytest.raises(BadQueueUrl, match="an endpoint such as"):
        open_transport("sqs://requests", settings, timedelta(seconds=30))


def test_a_password_is_read_anew_each_time(tmp_path: Path) -> None:
    """A changed one needs no restart; one that cannot be read is told by the file's name, as a queue away."""
    file = tmp_path / "broker"
    read = password_reader(file)
    for password in ("first", "second"):
        file.write_text(f"{password}\n", encoding="utf-8")
        assert read() == password
    file.unlink()
    with pytest.raises(TransportError, match=r"broker .*cannot be read: No such file"):
        read()
    assert password_reader(None)() is None


def test_boto3_and_kombu_are_not_imported_for_an_embedded_queue() -> None:
    """They cost 0.3 s of start and 30 MB."""
    code = (
        "import sys; from datetime import timedelta; from config.settings import Queues;"
        "from worker.transports.factory import open_transport;"
        "url = 'sql:///tmp/q.db?queue=a';"
        "open_transport(url, Queues(request=[url], response=url, failure=url), timedelta(seconds=30));"
        "sys.exit('boto3' in sys.modules or 'kombu' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
