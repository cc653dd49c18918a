"""Opens what was received: fetches its body, verifies its signature, decodes it."""

from typing import Final

from config.settings import Settings
from worker.claim_check import is_pointer, resolve
from worker.envelope import Envelope, Identity, open_envelope, readable_identity
from worker.held import Held
from worker.objects import ObjectStore
from worker.signing_jobs import JobSignatures

CLAIM_CHECK_BYTES_MAXIMUM: Final = 64 * 2**20


class Opener:
    """Opens deliveries by the settings in force; thread-safe."""

    def __init__(self, settings: Settings, store: ObjectStore, signatures: JobSignatures) -> None:
        self._settings = settings
        self._store = store
        self._signatures = signatures

    def apply(self, settings: Settings) -> None:
        """Go by these settings from now on."""
        self._settings = settings

    def body(self, held: Held) -> str:
        """The delivery's body, fetched where it is only referred to; raises as `claim_check.resolve`."""
        body = held.delivery.body
        if not is_pointer(body):
            return body
        held.s3_requests += 1
        return resolve(body, self._store, self._settings.queues.readable_buckets, CLAIM_CHECK_BYTES_MAXIMUM)

    def envelope(self, body: str, held: Held) -> Envelope:
        """The delivery decoded; raises as `worker.envelope.open_envelope`."""
        return open_envelope(body, held, self._settings.symfony, self._signatures)

    def identity(self, body: str, held: Held) -> Identity | None:
        """What can be read of a delivery that is no job."""
        return readable_identity(body, held, self._settings.symfony)
