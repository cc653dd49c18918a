"""Signs failed messages anew for their retry: those that were signed right, and no others."""

from collections.abc import Mapping
from dataclasses import dataclass

from config.headers import OwnHeader, first_sent
from config.settings import Settings
from worker.cli.failed_messages import FailedMessage
from worker.envelope import readable_fields
from worker.letters import CannotRetry
from worker.signing_jobs import JobSignatures, Received
from worker.symfony.writing import headers_in
from worker.transports.base import Attribute

NO_LONGER_RIGHT = (
    "its signature is not right by any of [signing] key_files, so that it cannot be signed for its next run: "
    "put the key back that it was signed with, behind the others, until it is done"
)


@dataclass(frozen=True, slots=True)
class Resigning:
    """Signs one failed message anew, as a `worker.letters.SignAgain`; `signatures` has a key.

    What is not authentic is sent as it came: a retry must not make a forgery genuine, and there may be a
    key for it by now.
    """

    settings: Settings
    signatures: JobSignatures
    failed: FailedMessage

    def __call__(self, attributes: Mapping[str, Attribute], before: OwnHeader, after: OwnHeader) -> OwnHeader:
        """Our header with the signature to send; raises `CannotRetry` where only another one would do."""
        headers = headers_in(attributes)
        fields = readable_fields(self.failed.body, headers, self.settings.symfony)
        first = first_sent(before, self.failed.delivery.sent_at)
        received = Received(self.failed.body, headers, before, fields)
        signed = self.signatures.sign_again(received, after, max(0, int(first.timestamp())))
        if signed is None and before.signature and _is_changed(before, after):
            raise CannotRetry(NO_LONGER_RIGHT)
        return signed or after


def _is_changed(before: OwnHeader, after: OwnHeader) -> bool:
    return (before.run, before.renewed_at) != (after.run, after.renewed_at)
