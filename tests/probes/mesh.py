"""A mesh's certificate authority, and serving certificates as istiod and its impostors have."""

import itertools
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from exporter.tls_contexts import server_context

_YEAR = timedelta(days=365)


class MeshAuthority:
    """A root in `root`, and what it signs. istiod's own is alike: an EC root, DNS names only."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._numbers = itertools.count()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, folder.name)])
        basic = x509.BasicConstraints(ca=True, path_length=None)
        certificate = (
            _builder(self._name, self._name, self._key, datetime.now(UTC) + _YEAR)
            .add_extension(basic, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.root = folder / "root-cert.pem"
        self.root.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def serving(
        self,
        *names: str,
        uri: str = "",
        days: int = 1,
        signed: bool = True,
        begins: int = -365,
        chain: int = 0,
    ) -> ssl.SSLContext:
        """A server's context with a certificate of these names; it begins and ends in so many days.

        Not `signed`: it is signed by its own key. `chain`: so many certificates follow it.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "istiod")])
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        if uri:
            alternatives.append(x509.UniformResourceIdentifier(uri))
        issuer, signer = (self._name, self._key) if signed else (subject, key)
        certificate = (
            _builder(issuer, subject, key, datetime.now(UTC) + timedelta(days=days), begins)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=not names)
            .sign(signer, hashes.SHA256())
        )
        file = self._folder / f"{next(self._numbers)}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM) * (1 + chain)
        )
        context = server_context()
        context.load_cert_chain(file)
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context


def _builder(
    issuer: x509.Name,
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    ends: datetime,
    begins: int = -365,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) + timedelta(days=begins))
        .not_valid_after(ends)
    )
