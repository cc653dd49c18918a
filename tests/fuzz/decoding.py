"""The target `decode`: a message becomes a job or one of the typed refusals, and nothing else."""

import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from config.headers import OWN_ATTRIBUTE, read_headers, read_own_header, write_own_header
from config.job import BadMessage, decode_job, encode_job
from config.signing import Signing
from config.symfony import Symfony
from tests.fuzz.letters import (
    BUCKET,
    FOLDER,
    OBJECT_KEY,
    OWN_KEY,
    SECTION,
    SIGNED_CLASS,
    SIGNED_TYPE,
    delivered,
    make_letter,
)
from tests.fuzz.tape import Tape
from tests.fuzz.target import Case, kept_cases
from tests.support.fakes import MemoryStore
from tests.support.symfony_letters import key_file
from tests.support.symfony_messages import MAPPED, UNCHANGED
from worker.claim_check import is_pointer, resolve
from worker.envelope import Envelope, asked_at, identity_of, open_envelope, readable_fields, readable_identity
from worker.held import Held
from worker.routing import part_identities
from worker.signing_jobs import JobSignatures
from worker.symfony.fifo import default_deduplication_id
from worker.symfony.php_bodies import is_php_serialized

OBJECT_BYTES_MAXIMUM = 2**20


class Decoding:
    """Opens each message by several configurations, one of which asks for signatures of both kinds."""

    name = "decode"
    folder = FOLDER

    def __init__(self) -> None:
        self._kept = list(kept_cases(FOLDER).values())
        self._directory = TemporaryDirectory(prefix="shardworker-fuzz-")
        keys = {
            "signed_types": [SIGNED_CLASS],
            "sign_key_files": [Path(key_file(Path(self._directory.name)))],
        }
        signing = SECTION.model_copy(update=keys)
        signed = Signing(key_files=[Path(key_file(Path(self._directory.name), OWN_KEY, "own-key"))])
        asking = signed.model_copy(update={"required_types": [SIGNED_TYPE]})
        self._sections = [
            *((section, JobSignatures(signed, section)) for section in (Symfony(), MAPPED, UNCHANGED)),
            (signing, JobSignatures(asking, signing)),
        ]
        self._store = MemoryStore()

    def make(self, tape: Tape) -> Case:
        """A message of any kind."""
        return make_letter(tape, self._kept)

    def run(self, case: Case) -> Counter[str]:
        """What each configuration makes of the message."""
        held = delivered(case)
        self._store.objects = {(BUCKET, OBJECT_KEY): case.get("object", "").encode("utf-8", "surrogatepass")}
        self._read_what_is_beside(held)
        return Counter([self._opened(held, section, signatures) for section, signatures in self._sections])

    def close(self) -> None:
        """Remove the key."""
        self._directory.cleanup()

    def _opened(self, held: Held, section: Symfony, signatures: JobSignatures) -> str:
        try:
            body = held.delivery.body
            if is_pointer(body):
                body = resolve(body, self._store, {BUCKET}, OBJECT_BYTES_MAXIMUM)
            readable_identity(body, held, section)
            readable_fields(body, held.delivery.headers, section)
            is_php_serialized(body)
            _look_at(open_envelope(body, held, section, signatures))
        except BadMessage as error:
            json.dumps(str(error)).encode("ascii")
            return error.code
        return "job"

    def _read_what_is_beside(self, held: Held) -> None:
        delivery = held.delivery
        asked_at(held)
        read_headers(delivery.headers)
        default_deduplication_id(delivery.body, delivery.attributes)
        own = read_own_header(delivery.headers)
        assert read_own_header({OWN_ATTRIBUTE: write_own_header(own)}).run == own.run


def _look_at(envelope: Envelope) -> None:
    """All that the worker asks of a job before it goes to its lanes; and it can be sent again as it is."""
    identity_of(envelope)
    assert envelope.born_at <= envelope.first_sent_at or envelope.own.renewed_at
    assert envelope.asked_at <= max(envelope.sent_at, envelope.own.retried_at or envelope.sent_at)
    assert part_identities(envelope, envelope.job.part_requests())
    stamps = envelope.stamps
    assert (stamps.retry_count, stamps.retry_count_maximum) >= (0, 0)
    assert all(isinstance(one, str | None) for one in (stamps.bus, stamps.original_receiver))
    assert all(isinstance(stamps.all(name), tuple) for name in stamps.names)
    assert decode_job(encode_job(envelope.job)) == envelope.job
