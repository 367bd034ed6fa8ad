"""A certificate authority of our own: the broker's certificate, client certificates, and the list of revoked ones.

A client certificate's common name is a user name, so that it carries the rights of that account. The authority's key
stays where the certificates are issued; the broker gets its own key, the authority's certificate and the list.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_FOR = timedelta(days=20 * 365)
SERVER_FOR = timedelta(days=825)
CLIENT_FOR = timedelta(days=2 * 365)
LONGEST_COMMON_NAME = 64  # RFC 5280

# A clock that is a little behind must not find a certificate that is not valid yet.
_EARLIER = timedelta(hours=1)


class Pair(NamedTuple):
    """A private key and its certificate, as PEM."""

    key: bytes
    certificate: bytes
    serial: str
    expires_at: datetime


class Void(NamedTuple):
    """A certificate that opens nothing any more."""

    serial: str
    since: datetime


class NoAuthorityError(Exception):
    """There is no authority in that folder."""


class CommonNameError(Exception):
    """A user name is too long for a certificate."""


@dataclass(frozen=True)
class Authority:
    """The authority whose `ca.key` and `ca.crt` lie in `folder`."""

    folder: Path

    @property
    def key_file(self) -> Path:
        return self.folder / "ca.key"

    @property
    def certificate_file(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def exists(self) -> bool:
        return self.key_file.exists() and self.certificate_file.exists()

    def make(self) -> None:
        """Make the authority, unless it is there: a new one would void every certificate of the old one."""
        if self.exists:
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Underfoot local authority")])
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - _EARLIER)
            .not_valid_after(now + AUTHORITY_FOR)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        write_private(self.key_file, _pem_key(key))
        self.certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue_server(self, hosts: Iterable[str], good_for: timedelta = SERVER_FOR) -> Pair:
        """A certificate for the broker, by whichever of these names and addresses clients reach it."""
        names = list(hosts)
        alternatives = x509.SubjectAlternativeName([_general_name(host) for host in names])
        return self._issue(names[0], good_for, ExtendedKeyUsageOID.SERVER_AUTH, alternatives)

    def issue_client(self, user_name: str, good_for: timedelta = CLIENT_FOR) -> Pair:
        """A certificate whose holder is `user_name`."""
        if len(user_name) > LONGEST_COMMON_NAME:
            raise CommonNameError(
                f"user name = {user_name!r}: a certificate's common name has {LONGEST_COMMON_NAME} characters at most;"
                " use a secret"
            )
        return self._issue(user_name, good_for, ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def revocations(self, void: Iterable[Void]) -> bytes:
        """The list of these certificates, as PEM. It is good as long as the authority: a list that is out of date
        would lock out every client, and the broker is told of changes by a new list anyway."""
        key, certificate = self._load()
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(certificate.subject)
            .last_update(certificate.not_valid_before_utc)
            .next_update(certificate.not_valid_after_utc)
        )
        for each in void:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(int(each.serial, 16))
                .revocation_date(each.since.astimezone(UTC).replace(microsecond=0))
                .build()
            )
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _issue(
        self,
        common_name: str,
        good_for: timedelta,
        use: x509.ObjectIdentifier,
        alternatives: x509.SubjectAlternativeName | None,
    ) -> Pair:
        authority_key, authority = self._load()
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC).replace(microsecond=0)
        expires_at = min(now + good_for, authority.not_valid_after_utc)
        serial = x509.random_serial_number()
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
            .issuer_name(authority.subject)
            .public_key(key.public_key())
            .serial_number(serial)
            .not_valid_before(now - _EARLIER)
            .not_valid_after(expires_at)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
        )
        if alternatives is not None:
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(authority_key, hashes.SHA256())
        return Pair(_pem_key(key), certificate.public_bytes(serialization.Encoding.PEM), f"{serial:x}", expires_at)

    def _load(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        if not self.exists:
            raise NoAuthorityError(
                f"there is no certificate authority in {self.folder} (ca.key and ca.crt): `underfoot broker authority`"
                " makes one, `underfoot up --secure` does so for the local stack"
            )
        key = serialization.load_pem_private_key(self.key_file.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise NoAuthorityError(f"{self.key_file}: not a key of an elliptic curve, which an authority of ours has")
        return key, x509.load_pem_x509_certificate(self.certificate_file.read_bytes())


def serials(revocations: bytes) -> set[str]:
    """The certificates on such a list."""
    return {f"{each.serial_number:x}" for each in x509.load_pem_x509_crl(revocations)}


def expiry(certificate: bytes) -> datetime:
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def write_private(path: Path, content: bytes) -> None:
    """Write a file that nobody but us ever could read."""
    new = path.with_name(f".{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
