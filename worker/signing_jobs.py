"""Which jobs have to be signed, in either way: what is not signed right is believed in nothing."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from config.headers import OWN_ATTRIBUTE, OwnHeader, write_own_header
from config.job import read_object
from config.signing import Signing
from config.symfony import Symfony
from worker.signing import Content, Key, content_of, read_signature, run_of, sign
from worker.signing_keys import BadSignature, read_key
from worker.symfony.header_map import fold
from worker.symfony.signatures import Signatures
from worker.symfony.signing import SIGNATURE_HEADER
from worker.transports.base import Attribute

KEY_BYTES_MINIMUM: Final = 32
"""As long as what SHA-256 makes: a shorter key is weaker than the signature."""

KEY_SETTING: Final = "signing.key_files"

MISSING: Final = (
    "Messages of this type have to be signed ([signing] required_types), and this one is not. If its sender "
    "is yours: does it sign, with a key of [signing] key_files?"
)
OTHER_FORM: Final = (
    "Its signature has another form than v1:KEY:SECONDS:HMAC. If its sender is yours: does it sign as "
    "docs/security.md says?"
)
OTHER_KEY: Final = (
    "It is signed with the key {}, which is none of [signing] key_files. If its sender is yours: put that "
    "key there, then retry."
)
CHANGED: Final = (
    "Its signature by the key {} does not fit: the body, the type, the run or expires_at is another than the "
    "one that was signed. If its sender is yours: does it sign as docs/security.md says?"
)
RUN_NOT_SIGNED: Final = (
    "It asks for another run than its body does, and Symfony's signature says nothing of the run: only "
    "`shardworker failed retry` may, which signs it ([signing] key_files)."
)


class Received(NamedTuple):
    """A message with its headers, ours among them, and its body's fields by the names that a job's have."""

    body: str
    headers: Mapping[str, str]
    own: OwnHeader
    fields: Mapping[str, Any]

    @property
    def content(self) -> Content:
        """What a signature of ours covers of it."""
        return content_of(*self)

    @property
    def job_type(self) -> str:
        """The type of the job that it would become; empty where there is none."""
        job_type = self.fields.get("type")
        return job_type if isinstance(job_type, str) else ""


class Believed(NamedTuple):
    """What of a message's headers is believed: our own one, and whether Symfony's stamps are."""

    own: OwnHeader
    stamps: bool


class JobSignatures:
    """Verifies jobs, by our own signatures and by Symfony's, and signs them; thread-safe.

    One right signature is enough, of either kind, and what it does not cover is not believed: of ours the
    stamps, of Symfony's the run and a renewed age. `symfony` signs what only Symfony's side reads.
    """

    def __init__(self, signing: Signing, symfony: Symfony) -> None:
        """Read the keys.

        Raises:
            SignKeyUnusable: one of the files cannot be read, or holds no key, or one that is too short.
        """
        self.symfony = Signatures(symfony)
        self._state = _read(signing)

    def become(self, others: "JobSignatures") -> None:
        """Go by these from now on."""
        self._state = others._state  # noqa: SLF001 - they are of one class
        self.symfony.become(others.symfony)

    def check(self, received: Received) -> Believed:
        """What is to be believed of a message; to be called before anything of it is.

        Raises:
            BadSignature: it has to be signed, and is not; or it is signed, and not right.
        """
        state = self._state
        if state.keys and received.own.signature is not None:
            state.check(received)
            return Believed(received.own, self._is_signed_by_symfony(received))
        self.symfony.check_class(received.body, received.headers)
        self.symfony.check_job_type(received.job_type, received.body, received.headers)
        if state.section.requires(received.job_type):
            return Believed(self._without_ours(received), stamps=True)
        return Believed(received.own, stamps=True)

    def _without_ours(self, received: Received) -> OwnHeader:
        """What is believed of our header where only Symfony's signature can vouch for the message."""
        if not self._is_signed_by_symfony(received):
            raise BadSignature(MISSING)
        if _asks_for_another_run(received):
            raise BadSignature(RUN_NOT_SIGNED)
        return msgspec.structs.replace(received.own, renewed_at=None)

    def _is_signed_by_symfony(self, received: Received) -> bool:
        signed = SIGNATURE_HEADER in received.headers
        return signed and self.symfony.are_right(received.body, received.headers)

    def sign_again(self, received: Received, after: OwnHeader, issued_at_seconds: int) -> OwnHeader | None:
        """Our header `after` of a message that is sent again, with a signature; None where it is not signed.

        So it is where we have no key, and where nobody vouches for the message as it was `received`. Its age
        counts from when it did, else from `issued_at_seconds`.
        """
        state = self._state
        if not state.keys or not self._is_authentic(received):
            return None
        signature = read_signature(received.own.signature)
        issued_at = issued_at_seconds if signature is None else signature.issued_at_seconds
        return _signed(received._replace(own=after), issued_at, state.keys[0])

    def _is_authentic(self, received: Received) -> bool:
        if received.own.signature is None:
            is_renewed = received.own.renewed_at is not None
            return (
                self._is_signed_by_symfony(received)
                and not _asks_for_another_run(received)
                and not is_renewed
            )
        try:
            self._state.check(received)
        except BadSignature:
            return False
        return True

    def sign_job(self, job_type: str, body: str, issued_at_seconds: int) -> dict[str, Attribute]:
        """The attributes that sign a new job: ours where there is a key, Symfony's where it asks for them."""
        attributes = fold(self.symfony.sign_job(job_type, body))
        keys = self._state.keys
        if not keys:
            return attributes
        received = Received(body, {}, OwnHeader(), read_object(body, exact=False))
        own = write_own_header(_signed(received, issued_at_seconds, keys[0]))
        return {**attributes, OWN_ATTRIBUTE: Attribute("String", own)}


class _State(NamedTuple):
    """The section with the keys read; replaced as a whole, so that no message meets half of a change."""

    keys: tuple[Key, ...]
    section: Signing

    def check(self, received: Received) -> None:
        """Refuse a message whose signature of ours is not right."""
        signature = read_signature(received.own.signature)
        if signature is None:
            raise BadSignature(OTHER_FORM)
        keys = [key for key in self.keys if key.id == signature.key_id]
        if not keys:
            raise BadSignature(OTHER_KEY.format(signature.key_id))
        if not any(signature.is_right(received.content, key) for key in keys):
            raise BadSignature(CHANGED.format(signature.key_id))


def _read(section: Signing) -> _State:
    keys = (read_key(file, KEY_SETTING, KEY_BYTES_MINIMUM) for file in section.key_files)
    return _State(tuple(map(Key.of, keys)), section)


def _asks_for_another_run(received: Received) -> bool:
    return received.own.run not in {None, run_of(received.fields)}


def _signed(received: Received, issued_at_seconds: int, key: Key) -> OwnHeader:
    signature = str(sign(received.content, issued_at_seconds, key))
    return msgspec.structs.replace(received.own, signature=signature)
