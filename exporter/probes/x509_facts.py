"""What a certificate shows: its dates, its names, and which authority issued it. Pure."""

from contextlib import suppress
from hashlib import sha256

from cryptography import x509

from exporter.bounds import CERTIFICATE_NAMES, KUBERNETES_NAME, SPIFFE_ID, cut_text
from exporter.model import Certificate
from exporter.model.interning import shared
from exporter.probes.attempt import Malformed


def root_of(der: bytes) -> str:
    """The key of the authority that issued a certificate, in 16 hex digits; empty if unknown.

    By its key identifier (RFC 5280, 4.2.1.1), which is the same on every certificate that it has
    issued; where there is none, by a hash of its name.
    """
    try:
        parsed = x509.load_der_x509_certificate(der)
        issuer = sha256(parsed.issuer.public_bytes()).digest()
        for kind, name in _KEY_IDENTIFIERS:
            with suppress(x509.ExtensionNotFound):
                value = parsed.extensions.get_extension_for_class(kind).value
                return shared((getattr(value, name) or issuer).hex()[:_ROOT_DIGITS])
        return shared(issuer.hex()[:_ROOT_DIGITS])
    except Exception:  # noqa: BLE001 - what cannot be read names no authority
        return ""


_ROOT_DIGITS = 16
_KEY_IDENTIFIERS = (
    (x509.AuthorityKeyIdentifier, "key_identifier"),
    (x509.SubjectKeyIdentifier, "digest"),  # a root may lack the first: it is its own authority
)


def read_certificate(der: bytes) -> Certificate:
    """As `certificate_of`; raises Malformed where it cannot be read."""
    try:
        return certificate_of(der)
    except Exception as error:
        raise Malformed(f"the certificate cannot be read: {error}") from error


def certificate_of(der: bytes) -> Certificate:
    """The dates and names of a DER certificate.

    Raises:
        ValueError: it cannot be read. Other exceptions of `x509`: it breaks X.509's rules
            (`InvalidVersion`, `DuplicateExtension`, `UnsupportedGeneralNameType`).
    """
    parsed = x509.load_der_x509_certificate(der)
    uris: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    try:
        extension = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        pass
    else:
        uris = _names(extension.value, x509.UniformResourceIdentifier, SPIFFE_ID)
        names = _names(extension.value, x509.DNSName, KUBERNETES_NAME)
    return Certificate(
        not_before=parsed.not_valid_before_utc.timestamp(),
        not_after=parsed.not_valid_after_utc.timestamp(),
        uris=uris,
        dns_names=names,
    )


def _names(
    value: x509.SubjectAlternativeName,
    kind: type[x509.UniformResourceIdentifier] | type[x509.DNSName],
    most: int,
) -> tuple[str, ...]:
    names: list[str] = value.get_values_for_type(kind)
    return shared(tuple(cut_text(name, most) for name in names[:CERTIFICATE_NAMES]))
