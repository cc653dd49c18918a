"""The target `prepare`: whatever is taken in ends in exactly one conclusion, and can be sent on then."""

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
from sqlalchemy import table
from structlog.testing import capture_logs

from config.result import Result
from config.settings import InsertHandler
from handlers.contract import PartContext
from handlers.insert import InsertRows
from tests.fuzz.letters import BUCKET, FOLDER, OBJECT_KEY, SECTION, SIGNED_CLASS, delivered, make_letter
from tests.fuzz.tape import Tape
from tests.fuzz.target import Case, kept_cases
from tests.support.core import Handler, Site
from tests.support.intake import attachment
from tests.support.memory_queue import MemoryPlace
from tests.support.symfony_letters import key_file
from worker.conclusion import Answer, Bury, Conclusion, Discard, Reason, Return
from worker.facts import Facts
from worker.held import Held
from worker.letters import CannotRetry, Letters
from worker.objects import ObjectError
from worker.transports.base import Message
from worker.transports.limits import message_fault

LOST_EVENTS: Final = frozenset({"intake.failed", "inbox.fault", "shard.unanswered"})
FAST_DIRECTORY: Final = Path("/dev/shm")  # noqa: S108 - only the parent of a directory of our own
INSERTION: Final = InsertHandler.model_validate({"type": "orders.insert", "table": "orders"})
TABLES: Final = (table("shardworker_inbox"), table("orders"))


class Preparing:
    """The daemon's intake with all behind it: router, grants, attachments, lanes by hand, SQLite shards."""

    name = "prepare"
    folder = FOLDER

    def __init__(self) -> None:
        self._kept = list(kept_cases(FOLDER).values())
        parent = FAST_DIRECTORY if FAST_DIRECTORY.is_dir() else None
        self._directory = TemporaryDirectory(prefix="shardworker-fuzz-", dir=parent)
        path = Path(self._directory.name)
        signing = {"signed_types": [SIGNED_CLASS], "sign_key_files": [key_file(path)]}
        queues = {
            name: f"sql://{path}/queues.db?queue={name}" for name in ("requests", "response", "failure")
        }
        request = [queues.pop("requests")]
        sections: dict[str, Any] = {
            "queues": {**queues, "request": request, "claim_check_buckets": [BUCKET]},
            "symfony": {**SECTION.model_dump(), **signing},
        }
        self._site = Site(path, **sections)
        self._site.handler = _insert_or_echo(InsertRows(INSERTION))
        attachment(self._site)
        self._letters = Letters(self._site.objects, BUCKET, "host:1", self._site.time.clock)
        self._failure_queue = MemoryPlace().transport("failure")

    def make(self, tape: Tape) -> Case:
        """A message of any kind, perhaps with a copy, perhaps delivered once more."""
        return make_letter(tape, self._kept)

    def run(self, case: Case) -> Counter[str]:
        """Deliver the message, with a copy if the case says so, and all of it once more."""
        self._begin(case)
        copies = ["message-1", "message-2"] if case.get("copied") else ["message-1"]
        with capture_logs() as lines:
            ends = [self._deliver(case, copies, receives=0)]
            ends += [self._deliver(case, copies, receives=1)] if case.get("again") else []
        lost = [line for line in lines if line["event"] in LOST_EVENTS]
        assert not lost, lost
        return sum(ends, Counter())

    def close(self) -> None:
        """Remove everything."""
        self._site.close()
        self._directory.cleanup()

    def _begin(self, case: Case) -> None:
        self._site.objects.objects = {
            (BUCKET, OBJECT_KEY): case.get("object", "").encode("utf-8", "surrogatepass")
        }
        for name in self._site.shards.names:
            with self._site.shards.get(name).connect() as connection, connection.begin():
                for one in TABLES:
                    connection.execute(one.delete())

    def _deliver(self, case: Case, message_ids: list[str], *, receives: int) -> Counter[str]:
        """Take the deliveries in and let all run: each is in one conclusion, and nothing stays in hand."""
        site = self._site
        site.settled.clear()
        deliveries = [
            delivered(case, site.source, message_id=message_id, receives=receives)
            for message_id in message_ids
        ]
        for held in deliveries:
            site.intake.take(held)
        site.run()
        concluded = [held.delivery.message_id for settled in site.settled for held in settled.held]
        assert sorted(concluded) == message_ids
        assert site.intake.jobs() == []
        for settled in site.settled:
            self._send_on(*settled)
        return Counter(_told(settled.conclusion) for settled in site.settled)

    def _send_on(self, held: list[Held], conclusion: Conclusion, facts: Facts) -> None:
        """Write what the settler would send: a queue takes each message."""
        reason = conclusion.dead_letter if isinstance(conclusion, Answer | Bury) else None
        if isinstance(conclusion, Answer):
            assert facts.identity is not None
            assert msgspec.json.decode(conclusion.body, type=Result).status == conclusion.status
            assert (
                message_fault(self._letters.result(self._failure_queue, conclusion.body, facts.identity))
                is None
            )
        if reason is not None:
            self._bury(held[0], reason, facts, answered=isinstance(conclusion, Answer))

    def _bury(self, held: Held, reason: Reason, facts: Facts, *, answered: bool) -> None:
        delivery = held.delivery
        queue = self._failure_queue
        if message_fault(Message(delivery.body, delivery.attributes)) is not None:
            return  # no queue brings such a message, so that none has to take it back
        letter = self._letters.dead_letter(queue, held, reason, facts.identity, answered=answered)
        assert message_fault(letter) is None
        back = replace(delivery, body=letter.body, attributes=letter.attributes)
        with suppress(CannotRetry, ObjectError):
            assert message_fault(self._letters.retry(queue, back, renew=False)) is None


def _insert_or_echo(insert: InsertRows) -> Handler:
    """Give back what came; or insert its rows."""

    def handle(payload: Any, context: PartContext) -> Any:
        return insert(payload, context) if isinstance(payload, dict) and "rows" in payload else payload

    return handle


def _told(conclusion: Conclusion) -> str:
    match conclusion:
        case Answer(status=status, code=code, dead_letter=reason):
            told = code or (reason.code if reason else None)
            return f"answered: {status}" + (f", {told}" if told else "")
        case Bury(dead_letter=reason):
            return f"buried: {reason.code}"
        case Discard(code=code):
            return f"discarded: {code}"
        case Return(code=code):
            return f"returned: {code}"
