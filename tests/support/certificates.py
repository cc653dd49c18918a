"""Certificates for the tests' servers: an authority, a server that it vouches for, and a stranger."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.private_server import give_away

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Certificates:
    """Files in PEM. The server's certificate names `127.0.0.1`."""

    authority: Path
    stranger: Path
    server: Path
    server_key: Path


@contextmanager
def certificates() -> Iterator[Certificates]:
    """Fresh certificates, in a directory that an unprivileged server can read; gone afterwards."""
    directory = Path(mkdtemp(prefix="shardworker-certificates-"))
    try:
        yield _make(directory)
    finally:
        rmtree(directory)


def _make(directory: Path) -> Certificates:
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    made = {
        "authority": _certificate("authority", authority_key, "authority", authority_key),
        "stranger": _certificate("stranger", server_key, "stranger", server_key),
        "server": _certificate(HOST, server_key, "authority", authority_key),
    }
    files = {name: directory / f"{name}.pem" for name in (*made, "server_key")}
    for name, certificate in made.items():
        files[name].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files["server_key"].write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    files["server_key"].chmod(0o600)
    for path in (directory, *files.values()):
        give_away(path)
    return Certificates(**files)


def _certificate(
    subject: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=subject == issuer, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False)
    )
    return builder.sign(issuer_key, hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
