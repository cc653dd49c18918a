"""TLS to the servers: what each driver is told, and the one context that a shard's connections share."""

import ssl
from collections.abc import Mapping
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL

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

WORKS: Final = "its TLS must work"
ADVICE: Final[Mapping[str | None, str]] = {
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

    def __init__(self, mode: str | None) -> None:
        said = "what its URL says of TLS" if mode is None else f'tls = "{mode}"'
        advice = f"if it is up: with {said} {ADVICE.get(mode, WORKS)}"
        super().__init__(failure_of(failure_codes.AWAY, advice))


def tls_mode(url: URL, section: settings.Shard) -> settings.TlsMode:
    """How TLS is used with a server; where nothing is said, what leaves this machine is verified."""
    if section.tls is not None:
        return section.tls
    hosts = url.query.get("hostaddr") or url.query.get("host") or url.query.get("unix_socket") or url.host
    listed = hosts if isinstance(hosts, tuple) else (hosts or "localhost").split(",")
    return "prefer" if all(map(_is_here, listed)) else "verify"


def _is_here(host: str) -> bool:
    """Whether connections to the host stay on this machine: a socket's path, or a loopback address."""
    name = host.partition(":")[0] if host.count(":") == 1 else host  # without a port
    if name.startswith(("/", "@")) or name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def postgresql_arguments(section: settings.Shard, tls: settings.TlsMode) -> dict[str, Any]:
    """What libpq is told."""
    mode = {"sslmode": POSTGRESQL_MODES[tls]}
    if tls != "verify":
        return mode
    return {**mode, "sslrootcert": str(section.tls_ca_file or _system_certificates() or "system")}


def mysqlclient_arguments(section: settings.Shard, tls: settings.TlsMode) -> dict[str, Any]:
    """What mysqlclient is told."""
    mode = {"ssl_mode": MYSQLCLIENT_MODES[tls]}
    if tls != "verify":
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
