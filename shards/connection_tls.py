"""TLS to the servers: what each driver is told, and the one context that a shard's connections share."""

import ssl
from functools import cache
from pathlib import Path
from typing import Any, Final

from config import settings
from shards import failure_codes
from shards.failures import KnownFailure, failure_of

SYSTEM_CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
POSTGRESQL_MODES: Final = {
    "off": "disable",
    "prefer": "prefer",
    "require": "require",
    "verify": "verify-full",
}
MYSQLCLIENT_MODES: Final = {
    "off": "DISABLED",
    "prefer": "PREFERRED",
    "require": "REQUIRED",
    "verify": "VERIFY_IDENTITY",
}

ADVICE: Final = {
    "require": "it must offer TLS",
    "verify": "its certificate must be signed by one of tls_ca_file and name the host of the URL",
}


class CertificatesUnreadable(KnownFailure):
    """The file of `tls_ca_file` cannot be used: the shard cannot be asked until it can."""

    def __init__(self, path: Path | None, error: OSError) -> None:
        reason = error.strerror or type(error).__name__
        file = f"the file of tls_ca_file, {path}," if path else "the system's list of certificates"
        super().__init__(failure_of(failure_codes.AWAY, f"{file} cannot be used: {reason}"))


class NoEncryptedConnection(KnownFailure):
    """No connection came about, and what `tls` asks for is the reason, or may be."""

    def __init__(self, mode: str) -> None:
        advice = f'if it is up: with tls = "{mode}" {ADVICE.get(mode, "its TLS must work")}'
        super().__init__(failure_of(failure_codes.AWAY, advice))


def postgresql_arguments(section: settings.Shard) -> dict[str, Any]:
    """What libpq is told."""
    mode = {"sslmode": POSTGRESQL_MODES[section.tls]}
    if section.tls != "verify":
        return mode
    return {**mode, "sslrootcert": str(section.tls_ca_file or _system_certificates() or "system")}


def mysqlclient_arguments(section: settings.Shard) -> dict[str, Any]:
    """What mysqlclient is told."""
    mode = {"ssl_mode": MYSQLCLIENT_MODES[section.tls]}
    if section.tls != "verify":
        return mode
    file = section.tls_ca_file or _system_certificates()
    return {**mode, "ssl": {"ca": str(file)}} if file else mode


@cache
def shared_context(ca_file: Path | None, *, verify: bool) -> ssl.SSLContext:
    """The context for these settings, always the same one: making one takes 20 ms.

    Raises:
        CertificatesUnreadable: the file cannot be read or holds no certificates.
    """
    if not verify:
        return _context_without_checks()
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise CertificatesUnreadable(ca_file, error) from error
    # Python 3.13 asks more of a certificate than those have that databases make for themselves
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _context_without_checks() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _system_certificates() -> Path | None:
    # psycopg brings a library that looks for them in a directory of its own
    known = ssl.get_default_verify_paths().cafile
    if known:
        return Path(known)
    return SYSTEM_CERTIFICATES if SYSTEM_CERTIFICATES.exists() else None
