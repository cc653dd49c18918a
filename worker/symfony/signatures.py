"""Which messages have to be signed, and the keys: what is not signed right is believed in nothing."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from config.headers import TYPE_HEADER
from config.symfony import Symfony
from worker.signing_keys import BadSignature, read_key
from worker.symfony.signing import covers_body_alone, is_signed_right, sign

KEY_SETTING: Final = "symfony.sign_key_files"


class Signatures:
    """Signs with the first key of `[symfony] sign_key_files`, and accepts each; thread-safe.

    Asked for is a signature of the classes in `signed_types`, and of whatever else would become a job of a
    type that only such classes lead to: who may write to the queue must not get round it by another header.
    """

    def __init__(self, section: Symfony) -> None:
        """Read the keys.

        Raises:
            SignKeyUnusable: one of the files cannot be read, or holds no key.
        """
        self._state = _read(section)

    def become(self, others: "Signatures") -> None:
        """Go by these from now on."""
        self._state = others._state  # noqa: SLF001 - they are of one class

    def check_class(self, body: str, headers: Mapping[str, str]) -> None:
        """Refuse a message whose class asks for a signature; to be called before anything else is read.

        Raises:
            BadSignature: it has none, or another one.
        """
        state = self._state
        if state.asks(headers.get(TYPE_HEADER, "")):
            _check(body, headers, state.keys)

    def check_job_type(self, job_type: str, body: str, headers: Mapping[str, str]) -> None:
        """Refuse a message that would become a job of a type to which only signed classes lead.

        Raises:
            BadSignature: it has no signature, or another one.
        """
        state = self._state
        if job_type in state.job_types:
            _check(body, headers, state.keys)

    def are_right(self, body: str, headers: Mapping[str, str]) -> bool:
        """Whether the message is signed with one of the keys."""
        return _is_right(body, headers, self._state.keys)

    def sign(self, body: str, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers that sign a message, whatever its class; there must be a key."""
        return sign(body, headers, self._state.keys[0])

    def sign_if_asked(self, body: str, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers that sign a message of a class that asks for it; none for another one."""
        return self.sign(body, headers) if self._state.asks(headers.get(TYPE_HEADER, "")) else {}

    def sign_job(self, job_type: str, body: str) -> dict[str, str]:
        """The headers that sign a job of no class, where it would be refused without; none elsewhere."""
        state = self._state
        return self.sign(body, {}) if job_type in state.job_types or state.asks("") else {}


class _State(NamedTuple):
    """The section with the keys read; replaced as a whole, so that no message meets half of a change."""

    keys: tuple[bytes, ...]
    section: Symfony
    job_types: frozenset[str]

    def asks(self, class_name: str) -> bool:
        """Whether messages of this class have to be signed."""
        return self.section.must_be_signed(class_name)


def _read(section: Symfony) -> _State:
    leading = section.all_types
    unsigned = {kind for name, kind in leading.items() if not section.must_be_signed(name)}
    keys = tuple(read_key(file, KEY_SETTING) for file in section.sign_key_files)
    return _State(keys, section, frozenset(leading.values()) - unsigned)


def _is_right(body: str, headers: Mapping[str, str], keys: Sequence[bytes]) -> bool:
    return any(is_signed_right(body, headers, key) for key in keys)


def _check(body: str, headers: Mapping[str, str], keys: Sequence[bytes]) -> None:
    if _is_right(body, headers, keys):
        return
    if covers_body_alone(headers):
        raise BadSignature(
            "The signature covers the body alone, not the class and the stamps: update the sender's "
            "symfony/messenger, which has signed both since August 2026 (7.4 and later)."
        )
    raise BadSignature(
        "Messages of this kind have to be signed ([symfony] signed_types), and this one has no signature "
        "made with one of the keys in sign_key_files. If its sender is yours: does it sign, with such a key?"
    )
