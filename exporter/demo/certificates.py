"""Certificates like the recorded ones: their names and lifetimes, our own CA and key.

Recorded keys are not kept, so every run makes a CA and one key, and signs each recorded
certificate anew with its times moved to now.
"""

import hashlib
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from exporter.tls_contexts import server_context

_YEARS = timedelta(days=3650)


class Authority:
    """A run's CA. Everything it signs is written to one folder, which the caller removes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "cluster.local")])
        now = datetime.now(UTC)
        root = (
            x509.CertificateBuilder(name, name, self._key.public_key(), x509.random_serial_number())
            .not_valid_before(now - _YEARS)
            .not_valid_after(now + _YEARS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self._name = name
        self.root = folder / "root.pem"
        self.root.write_bytes(root.public_bytes(serialization.Encoding.PEM))

    def reissue(self, recorded: bytes, seconds: float) -> Path:
        """A file with key and certificate like the recorded one, its times moved by `seconds`."""
        digest = hashlib.sha256(recorded + str(round(seconds)).encode()).hexdigest()[:16]
        path = self._folder / f"{digest}.pem"
        if not path.exists():
            path.write_bytes(self._key_pem() + self._sign(recorded, timedelta(seconds=seconds)))
        return path

    def _key_pem(self) -> bytes:
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def _sign(self, recorded: bytes, moved: timedelta) -> bytes:
        old = x509.load_pem_x509_certificate(recorded)
        new = x509.CertificateBuilder(
            self._name, old.subject, self._key.public_key(), x509.random_serial_number()
        )
        new = new.not_valid_before(old.not_valid_before_utc + moved)
        new = new.not_valid_after(old.not_valid_after_utc + moved)
        for extension in old.extensions:
            if isinstance(extension.value, x509.SubjectAlternativeName | x509.KeyUsage):
                new = new.add_extension(extension.value, extension.critical)
        return new.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def standin_context(
    certificate: Path, root: Path, alpn: str, *, requires_client: bool
) -> ssl.SSLContext:
    """How a stand-in speaks TLS. `requires_client`: it insists on a client's certificate."""
    context = server_context()
    context.load_cert_chain(certificate)
    context.load_verify_locations(root)
    if requires_client:
        context.verify_mode = ssl.CERT_REQUIRED
    if alpn:
        context.set_alpn_protocols([alpn])
    return context
