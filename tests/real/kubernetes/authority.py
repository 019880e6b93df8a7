"""A certificate authority that signs for an API server, its kubelets and its users."""

import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOURS = timedelta(hours=3)


class Authority:
    """A CA of its own; everything it signs is written to its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("ca")
        self.root = folder / "ca.crt"
        certificate = self._builder(self._name, self._key, is_ca=True)
        self.root.write_bytes(_pem(certificate.sign(self._key, hashes.SHA256())))

    def issue(
        self,
        name: str,
        groups: Iterable[str] = (),
        life: timedelta = HOURS,
        hosts: Iterable[str] = ("127.0.0.1", "kubernetes"),
    ) -> tuple[Path, Path]:
        """Certificate and key of a server with these addresses and names, or of a user.

        A negative life is over.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_name(name, groups), key, is_ca=False, life=life)
        names = [_general_name(host) for host in hosts]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        file = name.replace(":", "-")
        certificate, private = self.folder / f"{file}.crt", self.folder / f"{file}.key"
        certificate.write_bytes(_pem(builder.sign(self._key, hashes.SHA256())))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, private

    def _builder(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        is_ca: bool,
        life: timedelta = HOURS,
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        public, issuer = key.public_key(), self._key.public_key()
        return (
            x509.CertificateBuilder(self._name, name, public, x509.random_serial_number())
            .not_valid_before(now - HOURS)
            .not_valid_after(now + life)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False
            )
        )


def _name(common: str, groups: Iterable[str] = ()) -> x509.Name:
    """To Kubernetes the common name is the user, and each organisation a group."""
    rows = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*rows, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general_name(host: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ip_address(host))
    return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
