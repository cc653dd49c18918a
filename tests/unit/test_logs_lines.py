"""The log's lines: their form, what never stands in them, and that writing one never fails its caller."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Logging
from tests.support.logging_state import lines, logging_restored
from tests.support.parts import shard_at
from worker.log_lines import LINE_BYTES_MAXIMUM, clean, is_secret, to_json
from worker.logs import LibraryHandler, configure_logging, handler_logger

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    target = io.StringIO()
    with logging_restored():
        configure_logging(Logging(), target)
        yield target


class TestJson:
    def test_a_line_begins_with_time_level_and_event(self, stream: io.StringIO) -> None:
        """The three fields that every line has stand first, the others in the order given."""
        structlog.get_logger().info("job.done", job="j1", total_ms=1.5)
        (line,) = lines(stream)

        assert list(line) == ["ts", "level", "event", "job", "total_ms"]
        assert (line["level"], line["event"]) == ("info", "job.done")

    def test_the_time_is_utc_with_milliseconds(self, stream: io.StringIO) -> None:
        """RFC 3339 as log collectors read it."""
        before = datetime.now(UTC) - timedelta(milliseconds=1)
        structlog.get_logger().info("job.done")
        moment = lines(stream)[0]["ts"]

        assert moment.endswith("Z")
        assert len(moment) == len("2026-11-21T10:00:00.123Z")
        assert before <= datetime.fromisoformat(moment) <= datetime.now(UTC)

    def test_lines_below_the_level_are_not_written(self) -> None:
        """`level` is the least that is written."""
        stream = io.StringIO()
        configure_logging(Logging(level="warning"), stream)
        structlog.get_logger().info("job.done")
        structlog.get_logger().warning("job.released")

        assert [line["event"] for line in lines(stream)] == ["job.released"]

    def test_a_second_configuration_replaces_the_first(self, stream: io.StringIO) -> None:
        """No line is written twice, a library's neither."""
        again = io.StringIO()
        configure_logging(Logging(), again)
        logging.getLogger("library").warning("once")

        assert stream.getvalue() == ""
        assert len(lines(again)) == 1

    def test_an_exception_is_flat_and_without_its_message(self, stream: io.StringIO) -> None:
        """Type, files and functions, of the cause too; the message may hold a value and is left out."""
        try:
            try:
                raise KeyError("card 4711")
            except KeyError as cause:
                raise ValueError("card 4712") from cause
        except ValueError:
            structlog.get_logger().exception("part.failed")
        (line,) = lines(stream)

        assert line["error_type"] == "ValueError"
        assert "test_an_exception_is_flat" in line["stack"]
        assert "caused by KeyError" in line["stack"]
        assert "471" not in stream.getvalue()

    def test_a_library_s_warnings_come_through_and_its_chatter_does_not(self, stream: io.StringIO) -> None:
        """boto3, urllib3 and SQLAlchemy are heard from `warning` up."""
        logging.getLogger("urllib3.pool").info("new connection")
        logging.getLogger("urllib3.pool").warning("retry %d of %s", 2, "https://u:hunter2@host")
        (line,) = lines(stream)

        assert (line["event"], line["library"]) == ("library.log", "urllib3.pool")
        assert line["msg"] == "retry 2 of https://u:***@host"

    def test_connections_that_a_restarted_database_ended_are_no_errors(self, stream: io.StringIO) -> None:
        """SQLAlchemy's pool calls each one so; an alarm would ring at every failover."""
        shard = shard_at("sqlite:////nowhere/at/all.db")
        for logger in (shard.engine.pool.logger, logging.getLogger("sqlalchemy.engine")):
            logger.error("Exception during reset or similar")

        assert [line["level"] for line in lines(stream)] == ["warning", "error"]

    def test_a_library_s_broken_line_is_written_as_it_is(self, stream: io.StringIO) -> None:
        """A wrong format string of others is no reason to fail."""
        record = logging.LogRecord("library", logging.ERROR, __file__, 1, "%d of %d", (1,), None)
        # Not through the logger: pytest's own handler would raise.
        ours = next(
            handler for handler in logging.getLogger().handlers if isinstance(handler, LibraryHandler)
        )
        ours.handle(record)

        assert lines(stream)[0]["msg"] == "%d of %d"


class TestSecrets:
    @pytest.mark.parametrize(
        "name",
        ["receipt", "receipt_handle", "ReceiptHandle", "body", "message_body", "payload", "db_password",
         "client-secret", "tokens", "apiKey", "aws_secret_access_key", "credentials", "Authorization", "dsn"],
    )  # fmt: skip
    def test_fields_named_like_secrets_are_left_out(self, stream: io.StringIO, name: str) -> None:
        """At the top and at any depth, in each writing of the name."""
        structlog.get_logger().info("handler.log", **{name: "hunter2", "data": {"rows": [{name: "hunter2"}]}})

        assert is_secret(name)
        assert "hunter2" not in stream.getvalue()
        assert lines(stream)[0]["data"] == {"rows": [{}]}

    @pytest.mark.parametrize(
        "name", ["body_bytes", "receive_count", "token_count", "payload_size", "key", "job"]
    )
    def test_fields_about_them_stay(self, name: str) -> None:
        """Sizes and counts are no secrets."""
        assert not is_secret(name)

    def test_passwords_in_urls_are_hidden_at_any_depth(self, stream: io.StringIO) -> None:
        """Whatever field the URL stands in."""
        structlog.get_logger().info(
            "x.y", error="at postgresql://u:hunter2@h", data=[{"a": ("mysql://u:hunter2@h",)}]
        )

        assert "hunter2" not in stream.getvalue()

    def test_an_unknown_object_is_named_by_its_type(self, stream: io.StringIO) -> None:
        """Its text could hold anything, and making it could fail."""

        class Card:
            def __repr__(self) -> str:
                return "hunter2"

        structlog.get_logger().info("x.y", card=Card(), error=ValueError("hunter2"))

        assert "hunter2" not in stream.getvalue()
        assert lines(stream)[0]["error"] == "<ValueError>"


class TestSize:
    def test_a_long_line_is_cut_to_16_kib_and_says_so(self, stream: io.StringIO) -> None:
        """Long texts are cut first; what tells which job it was stays."""
        structlog.get_logger().info(
            "job.done", job="j1", error="é" * 30_000, shards=["eu-west-1-production"] * 9000, total_ms=1
        )
        (line,) = lines(stream)

        assert len(stream.getvalue()) <= LINE_BYTES_MAXIMUM + 1
        assert line["truncated"] is True
        assert (line["job"], line["total_ms"]) == ("j1", 1)
        assert line["error"] == "é" * 200 + "…"
        assert line["shards"] == ["eu-west-1-production"] * 20

    def test_fields_that_cannot_be_cut_are_left_out(self, stream: io.StringIO) -> None:
        """A field whose first entries are too large still gives way to the others."""
        table = [["x" * 100] * 20] * 20
        handler_logger(job="j1").info("wide", table=table)
        (line,) = lines(stream)

        assert "data" not in line
        assert (line["msg"], line["truncated"]) == ("wide", True)

    def test_of_a_wide_table_the_first_entries_stay(self, stream: io.StringIO) -> None:
        """The start line of a site with hundreds of shards still shows the settings."""
        shards = {f"shard-{number}": {"url": "postgresql://u@h/" + "x" * 60} for number in range(500)}
        structlog.get_logger().info(
            "config.loaded", configuration={"worker": {"lease": "2m"}, "shards": shards}
        )
        (line,) = lines(stream)

        assert line["configuration"]["worker"] == {"lease": "2m"}
        assert len(line["configuration"]["shards"]) == 20

    @given(
        st.dictionaries(
            st.text(max_size=20),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.floats()
                | st.text(max_size=3000)
                | st.binary(),
                lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=5), inner),
                max_leaves=30,
            ),
            max_size=8,
        )
    )
    def test_any_fields_make_one_line_of_json_within_the_limit(self, fields: dict[str, Any]) -> None:
        """Whatever is logged, a collector reads one object per line."""
        cleaned = {"ts": "t", "level": "info", "event": "x.y", **clean(fields)}
        line = to_json(cleaned)

        assert len(line.encode("ascii")) <= LINE_BYTES_MAXIMUM
        assert "\n" not in line
        assert json.loads(line) == cleaned or json.loads(line)["truncated"] is True

    @pytest.mark.parametrize("size", [1000, 100_000])
    def test_a_huge_message_exception_and_number_of_fields_make_one_line(
        self, stream: io.StringIO, size: int
    ) -> None:
        """What is cut says so; which job it was, and how the message and the exception begin, stay."""

        def sink(depth: int) -> None:
            if depth:
                sink(depth - 1)
            raise type("E" * size, (Exception,), {})

        try:
            sink(200)
        except Exception:  # noqa: BLE001 - its type is made up here
            fields = {f"field_{number}": "x" * 100 for number in range(size)}
            handler_logger(job="j1", customer="c1").error("m" * size, exc_info=True, **fields)
        (line,) = lines(stream)

        assert len(stream.getvalue()) <= LINE_BYTES_MAXIMUM + 1
        assert (line["job"], line["customer"], line["truncated"]) == ("j1", "c1", True)
        assert (line["msg"][:3], line["error_type"][-9:-6]) == ("mmm", "EEE")
        assert len(line["data"]) == 20


class Colour(Enum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (timedelta(milliseconds=1500), 1.5),
        (datetime(2026, 11, 21, tzinfo=UTC), "2026-11-21T00:00:00+00:00"),
        (Decimal("1.10"), "1.10"),
        (Path("/x"), "/x"),
        (Colour.RED, "red"),
        (Number.ONE, 1),
        (float("nan"), "nan"),
        ((1, 2), [1, 2]),
        ([[[[[[["deep"]]]]]]], [[[[[["…"]]]]]]),
        (b"bytes", "<bytes>"),
        (None, None),
        (True, True),
    ],
)
def test_values_are_written_as_json_can_carry_them(value: Any, written: Any) -> None:
    """Each kind of value has one form."""
    assert clean(value) == written
