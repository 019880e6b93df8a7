"""Authorities of every kind that clusters have, and what each signs."""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Kind:
    """What an authority's certificate, and with `identified` also those it signs, hold."""

    may_sign: bool | None = None
    """What keyUsage says of signing certificates; None without one."""
    critical: bool = True
    """Whether basicConstraints is."""
    identified: bool = True
    """Whether there are subject and authority key identifiers."""
    is_ca: bool = True

    def __str__(self) -> str:
        usage = {None: "no keyUsage", True: "keyCertSign", False: "another keyUsage"}
        return ", ".join(
            (
                usage[self.may_sign],
                "critical" if self.critical else "not critical",
                "identified" if self.identified else "no identifiers",
                "CA" if self.is_ca else "no CA",
            )
        )


TRUSTED = [
    Kind(*traits) for traits in itertools.product((None, True), (True, False), (True, False))
]
"""What kubectl trusts."""

UNTRUSTED = [Kind(may_sign=False), Kind(may_sign=True, is_ca=False), Kind(is_ca=False)]
"""What it does not: none of these may sign for another."""


class Authority:
    """A root, or what another authority signed. Its certificate is in `file`."""

    def __init__(self, folder: Path, kind: Kind, by: "Authority | None" = None) -> None:
        folder.mkdir()
        self._folder, self._kind = folder, kind
        self._numbers = itertools.count()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, folder.name)])
        builder = (by or self)._builder(self._name, self._key, is_ca=kind.is_ca)
        if kind.may_sign is not None:
            builder = builder.add_extension(_usage(may_sign=kind.may_sign), critical=True)
        self._chain = (by or self)._signed(builder)
        self.file = folder / "ca.crt"
        self.file.write_bytes(self._chain)

    def issue(self, days: int = 1) -> Path:
        """Key and certificate of 127.0.0.1, which ends in so many days, and its issuer's."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        builder = self._builder(name, key, is_ca=False, days=days)
        file = self._folder / f"{next(self._numbers)}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + self._signed(builder.add_extension(address, critical=False))
            + self._chain
        )
        return file

    def _builder(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, is_ca: bool, days: int = 1
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        public = key.public_key()
        basic = x509.BasicConstraints(ca=is_ca, path_length=None)
        builder = (
            x509.CertificateBuilder(self._name, name, public, x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(basic, critical=self._kind.critical)
        )
        if not self._kind.identified:
            return builder
        subject = x509.SubjectKeyIdentifier.from_public_key(public)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return builder.add_extension(subject, critical=False).add_extension(issuer, critical=False)

    def _signed(self, builder: x509.CertificateBuilder) -> bytes:
        certificate = builder.sign(self._key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM)


def _usage(*, may_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=may_sign,
        crl_sign=may_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
