"""Sends failed messages again: each to its queue, and only then off the failure queue."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from config.headers import read_own_header
from config.job import BadMessage
from config.settings import Settings
from worker.cli.common import open_queue, request_queue
from worker.cli.errors import CommandError
from worker.cli.failed_messages import FailedMessage
from worker.cli.failed_queue import Taking
from worker.cli.failed_report import Line
from worker.cli.failed_signing import Resigning
from worker.envelope import open_envelope
from worker.held import Held
from worker.letters import CannotRetry, Letters, SignAgain, TooLarge
from worker.objects import ObjectError
from worker.signing_jobs import JobSignatures
from worker.transports.base import Delivery, Faults, Message, Transport, TransportError

TOO_OLD = (
    "it is older than inbox rows are kept: whether parts of it ran can no longer be told, and those that did "
    "would run again. Look at the customers' data, then use --too-old"
)


@dataclass(frozen=True, slots=True)
class Ready:
    """A failed message with what is to be sent for it."""

    failed: FailedMessage
    again: Message
    delivered: Delivery
    """As a worker will receive it."""

    @property
    def run(self) -> int | None:
        """The run that it asks for; None leaves it to the body."""
        return read_own_header(self.delivered.headers).run


class Targets:
    """The request queues that messages are sent back to, opened when they are needed."""

    def __init__(self, settings: Settings, to: str | None) -> None:
        self._settings = settings
        self._to = to if to is None else request_queue(settings, to)
        self._stack = ExitStack()
        self._opened: dict[str, Transport] = {}

    def of(self, origin: str | None) -> Transport:
        """The queue for messages of this origin, the first one where none is known; raises `CannotRetry`."""
        url = self._to or self._url_of(origin)
        if url not in self._opened:
            self._opened[url] = self._stack.enter_context(open_queue(url, self._settings))
        return self._opened[url]

    def close(self) -> None:
        """Close what was opened."""
        self._stack.close()

    def _url_of(self, origin: str | None) -> str:
        if origin is None:
            return self._settings.queues.request[0]
        try:
            return request_queue(self._settings, origin)
        except CommandError as error:
            raise CannotRetry(
                f"the queue that it came from is not there. {error} Choose one with --to"
            ) from error


class Retrier:
    """Sends messages again. `too_old`: also beyond the inbox; `dry_run`: only says what would be sent."""

    def __init__(
        self, settings: Settings, letters: Letters, targets: Targets, *, too_old: bool, dry_run: bool
    ) -> None:
        """Read the keys, if the worker signs; raises `SignKeyUnusable`."""
        self._settings = settings
        signs = bool(settings.signing.key_files)
        self._signatures = JobSignatures(settings.signing, settings.symfony) if signs else None
        self._letters = letters
        self._targets = targets
        self._too_old = too_old
        self._dry_run = dry_run

    def retry(self, batch: Sequence[FailedMessage], taking: Taking) -> Iterator[Line]:
        """What became of each message. What is not sent stays on the failure queue."""
        ready: dict[Transport, list[Ready]] = {}
        for failed in batch:
            try:
                target = self._targets.of(failed.header.origin)
                ready.setdefault(target, []).append(self._prepare(failed, target))
            except (CannotRetry, TooLarge, ObjectError) as error:
                yield Line(failed, None, error=f"It was not sent: {error}.")
        for target, ones in ready.items():
            yield from self._plan(target, ones) if self._dry_run else self._send(target, ones, taking)

    def _prepare(self, failed: FailedMessage, target: Transport) -> Ready:
        ready = self._written(failed, target, renew=False)
        if not self._is_too_old(ready, target):
            return ready
        if not self._too_old:
            raise CannotRetry(TOO_OLD)
        return self._written(failed, target, renew=True)

    def _written(self, failed: FailedMessage, target: Transport, *, renew: bool) -> Ready:
        again = self._letters.retry(target, failed.delivery, self._sign_again(failed), renew=renew)
        now = self._letters.clock.now()
        return Ready(failed, again, Delivery("", "", again.body, again.attributes, 1, now))

    def _sign_again(self, failed: FailedMessage) -> SignAgain | None:
        return None if self._signatures is None else Resigning(self._settings, self._signatures, failed)

    def _is_too_old(self, ready: Ready, target: Transport) -> bool:
        """Whether a worker would bury it as `too_old`, by the worker's own rule."""
        now = ready.delivered.sent_at
        held = Held(ready.delivered, target, now, 0.0, 0.0)
        try:
            envelope = open_envelope(ready.failed.body, held, self._settings.symfony)
        except BadMessage:
            return False
        return now - envelope.born_at > self._settings.inbox.retention

    @staticmethod
    def _plan(target: Transport, batch: Sequence[Ready]) -> list[Line]:
        return [Line(one.failed, "would be sent", target.name, one.run) for one in batch]

    def _send(self, target: Transport, batch: Sequence[Ready], taking: Taking) -> list[Line]:
        faults = target.send([one.again for one in batch])
        sent = [one for position, one in enumerate(batch) if position not in faults]
        refused = [
            Line(batch[position].failed, None, error=f"It was not sent: {target.name}: {fault.message}.")
            for position, fault in faults.items()
        ]
        stay = _settled(taking, sent)
        return refused + [
            Line(one.failed, "sent", target.name, one.run, stay.get(position))
            for position, one in enumerate(sent)
        ]


def _settled(taking: Taking, sent: Sequence[Ready]) -> dict[int, str]:
    """Take what was sent off the failure queue; what is to be said of those that stay there."""
    try:
        faults: Faults = taking.settle([one.failed.delivery for one in sent])
        causes = {position: fault.message for position, fault in faults.items()}
    except TransportError as error:
        causes = dict.fromkeys(range(len(sent)), str(error))
    return {
        position: f"It was sent, and is on the failure queue still: {cause}. Another retry does no harm."
        for position, cause in causes.items()
    }
