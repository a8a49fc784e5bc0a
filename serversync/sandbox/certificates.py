"""A certificate authority for one sandbox, and the server certificates that it signs, good and bad."""

import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class Flaw(StrEnum):
    """What a server certificate may have wrong."""

    NONE = ""
    EXPIRED = "expired"
    WRONG_NAME = "wrong_name"
    FOREIGN = "foreign"


@dataclass(frozen=True)
class Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


def make_authority(name: str = "Sandbox certificate authority") -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=365))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def load_authority(folder: Path) -> Authority:
    """The authority kept in `folder`, made at the first call: profiles go on trusting it."""
    path = folder / "authority.pem"
    if path.exists():
        pem = path.read_bytes()
        key = serialization.load_pem_private_key(pem, None)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return Authority(x509.load_pem_x509_certificate(pem), key)
    authority = make_authority()
    path.touch(mode=0o600)
    path.write_bytes(_private(authority.key) + authority.pem.encode())
    return authority


def served_names(domains: Sequence[str]) -> list[str]:
    return [
        name for domain in domains for name in (domain, f"autodiscover.{domain}", f"mail.{domain}")
    ]


def server_pair(folder: Path, flaw: Flaw = Flaw.NONE) -> Path:
    """Where `server_context` leaves certificate and key, for servers that want a file."""
    return folder / f"server{flaw and '-' + flaw}.pem"


def server_context(
    authority: Authority, folder: Path, flaw: Flaw = Flaw.NONE, domains: Sequence[str] = ()
) -> ssl.SSLContext:
    """TLS for a server at localhost and 127.0.0.1, and at the names where clients look for the Exchange
    server of `domains`. `folder`: where the pair may be written."""
    signer = make_authority("Somebody else") if flaw is Flaw.FOREIGN else authority
    now = datetime.now(UTC)
    until = now - timedelta(days=1) if flaw is Flaw.EXPIRED else now + timedelta(days=800)
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")),
        *(x509.DNSName(name) for name in served_names(domains)),
    ]
    if flaw is Flaw.WRONG_NAME:
        names = [x509.DNSName("mail.elsewhere.example")]
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Sandbox")]))
        .issuer_name(signer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()),
            critical=False,
        )
        .sign(signer.key, hashes.SHA256())
    )
    pair = server_pair(folder, flaw)
    pair.touch(mode=0o600)
    pair.write_bytes(_private(key) + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pair)
    return context


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
