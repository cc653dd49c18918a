"""The keys of signatures, read from their files; and the refusal of what is not signed right."""

from pathlib import Path

from config.job import BadMessage


class SignKeyUnusable(Exception):
    """A file that is to hold a key holds none that can be used; the text says which and why."""


class BadSignature(BadMessage):
    """A message that must be signed is not, or not right: it goes to the failure queue, never answered."""

    def __init__(self, reason: str) -> None:
        super().__init__("bad_signature", reason)


def read_key(file: Path, setting: str, bytes_minimum: int = 1) -> bytes:
    """The key in a file of the list `setting`, without white space around it; raises `SignKeyUnusable`."""
    try:
        key = file.read_bytes().strip()
    except OSError as error:
        raise SignKeyUnusable(
            f"{setting}: {file} cannot be read ({error.strerror}): without the key no message "
            "can be verified. Put the key there, as text, for this user to read."
        ) from error
    if not key:
        raise SignKeyUnusable(f"{setting}: {file} is empty. Put the key there, as text.")
    if len(key) < bytes_minimum:
        raise SignKeyUnusable(
            f"{setting}: the key in {file} has {len(key)} bytes, and at least {bytes_minimum} are needed: a "
            "shorter one can be guessed. Make one with `openssl rand -hex 32`, for senders and workers alike."
        )
    return key
