"""docs/symfony.md: every feature of Symfony Messenger is told of, and what is told of ours is there."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.unit.test_docs import ROOT, read
from worker.cli import build_app

DOCUMENT = read("docs/symfony.md")
MIDDLEWARE = read("docs/middleware.md")


def words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


COMMANDS = words("""
messenger:consume messenger:stop-workers messenger:setup-transports messenger:stats
messenger:failed:show messenger:failed:retry messenger:failed:remove debug:messenger
""")
OPTIONS = {
    "The options of messenger:consume": """
        --limit -l --failure-limit -f --memory-limit -m --time-limit -t --sleep --bus -b --queues --no-reset
        --all --exclude-receivers --keepalive --fetch-size --concurrency
    """,
    "The options of messenger:failed": """
        --max --transport --stats --class-filter --force --keepalive --all --show-messages
    """,
}
EVENTS = words("""
WorkerStartedEvent WorkerRunningEvent WorkerMessageReceivedEvent WorkerMessageHandledEvent
WorkerMessageFailedEvent WorkerMessageRetriedEvent WorkerMessageSkipEvent WorkerRateLimitedEvent
WorkerStoppedEvent SendMessageToTransportsEvent MessageSentToTransportsEvent
""")
RETRIES = words("""
max_retries delay multiplier max_delay jitter service RecoverableExceptionInterface getRetryDelay()
UnrecoverableExceptionInterface failure_transport DecodeFailedMessageMiddleware StopWorkerException
stop_worker_on_signals SIGTERM SIGINT SIGQUIT SIGALRM
""")
LINKS = words("""
add_default_stamps add_bus_name_stamp reject_redelivered_message dispatch_after_current_bus
decode_failed_message failed_message_processing deduplicate send_message handle_message validation
router_context traceable AddFifoStampMiddleware doctrine_transaction doctrine_ping_connection
doctrine_close_connection doctrine_open_transaction_logger
""")
STAMPS = words("""
Ack BusName ConsumedByWorker Deduplicate Delay DispatchAfterCurrentBus ErrorDetails FlushBatchHandlers Handled
HandlerArguments MessageDecodingFailed NoAutoAck Received Redelivery RouterContext SentForRetry Sent
SentToFailureTransport SerializedMessage Serializer TransportMessageId TransportNames Validation
AmazonSqsFifo AmazonSqsReceived AmazonSqsXrayTraceHeader
""")
OTHERS = words("""
rate_limiter BatchHandlerInterface #[AsMessageHandler] #[AsMessage] sign: sync in-memory Scheduler
RunCommandMessage RedispatchMessage outbox:
""")
DSN = words("""
buffer_size wait_time poll_timeout visibility_timeout delete_on_rejection retry_delay auto_setup access_key
secret_key session_token endpoint region queue_name queue_attributes queue_tags account sslmode debug
""")
RECORDS = """
Received message {class}
Sending message {class} with {alias} sender using {sender}
Message {class} handled by {handler}
{class} was handled successfully (acknowledging to transport).
No handler for message {class}
Sending for retry #{retryCount} using {delay} ms delay.
Removing from transport after {retryCount} retries.
Rejected message {class} will be sent to the failure transport {transport}.
Transport {transport} is being rate limited, waiting for token to become available...
Received signal {signal}.
Stopping worker.
Worker stopped due to
Worker stopped because a restart was requested.
Sending keepalive request.
Keepalive request failed: {error}
A handler opened a transaction but did not close it.
Try #{count} after {delay}ms
""".strip().splitlines()


def section(heading: str) -> str:
    """The text under a heading of the third order."""
    return re.split(r"^##", DOCUMENT.split(f"### {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> Iterator[list[str]]:
    """The cells of the rows of each table, headings and rules apart."""
    for line in text.splitlines():
        if line.startswith("|") and not line.startswith(("|---", "| Symfony |", "| stamp |")):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def known_options(*names: str) -> set[str]:
    """The options of one of our commands."""
    command: Any = typer.main.get_command(build_app())
    for name in names:
        command = command.commands[name]
    return {option for parameter in command.params for option in parameter.opts}


def named(options: str, text: str) -> set[str]:
    """Those of the options that the text has between backticks, with whatever follows them."""
    return {option for option in options.split() if re.search(rf"`{re.escape(option)}[\s`=\[]", text)}


class TestTheirs:
    @pytest.mark.parametrize("feature", [*COMMANDS, *EVENTS, *RETRIES, *DSN])
    def test_every_command_event_exception_and_setting_is_told_of(self, feature: str) -> None:
        """Whoever looks for its name finds what stands in its place, or why nothing does."""
        assert re.search(rf"(?<![\w-]){re.escape(feature)}(?!\w)", DOCUMENT)

    @pytest.mark.parametrize("heading", OPTIONS)
    def test_every_option_is_told_of(self, heading: str) -> None:
        """In the first column of its command's table."""
        theirs = " ".join(cells[0] for cells in rows(section(heading)))

        assert named(OPTIONS[heading], theirs) == set(OPTIONS[heading].split())

    @pytest.mark.parametrize("link", LINKS)
    def test_every_middleware_is_told_of(self, link: str) -> None:
        """Here, or on the page of the middleware."""
        assert f"`{link}`" in DOCUMENT + MIDDLEWARE

    @pytest.mark.parametrize("stamp", STAMPS)
    def test_every_stamp_is_told_of(self, stamp: str) -> None:
        """By its class."""
        assert f"`{stamp}Stamp`" in DOCUMENT

    @pytest.mark.parametrize("record", RECORDS)
    def test_every_log_record_has_its_event(self, record: str) -> None:
        """Whoever has an alert on it finds what to search for."""
        found = [cells for cells in rows(section("Log records")) if record in cells[0]]

        assert len(found) == 1
        assert found[0][1].strip("| ")

    @pytest.mark.parametrize("feature", OTHERS)
    def test_what_else_there_is_is_told_of(self, feature: str) -> None:
        """Batch handlers, routing, the scheduler and what is to come."""
        assert feature.replace("rate_limiter", "rate limiter") in DOCUMENT


class TestOurs:
    def test_every_option_that_is_named_as_ours_exists(self) -> None:
        """In the second column of the table of `shardworker consume`."""
        named_as_ours = {
            option
            for cells in rows(section("The options of messenger:consume"))
            for option in re.findall(r"`(--?[a-z-]+)", cells[1])
        }

        assert len(named_as_ours) > 10
        assert named_as_ours <= known_options("consume")

    def test_symfony_s_options_of_the_same_name_exist_in_ours(self) -> None:
        """All but those that the document says are none."""
        refused = {"--bus", "-b", "--no-reset"}

        assert set(OPTIONS["The options of messenger:consume"].split()) - known_options("consume") == refused
        assert set(OPTIONS["The options of messenger:failed"].split()) - {"--keepalive"} <= (
            known_options("failed", "list")
            | known_options("failed", "retry")
            | known_options("failed", "remove")
        )

    def test_the_tests_that_are_named_are_there(self) -> None:
        """What is said to be better is held by them."""
        better = DOCUMENT.split("## Better where its users suffer\n", 1)[1].split("\n## ", 1)[0]
        held = [cells[-1].strip("`| ") for cells in rows(better) if cells[0] != "with Symfony"]

        assert len(held) >= 10
        assert [path for path in held if not (ROOT / Path(path)).is_file()] == []
