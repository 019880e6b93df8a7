"""Whether an istiod is the mesh's own: its certificates against the mesh's root, and the token.

Flows in: an attempt with a `MeshTrust`. The rule: the token for the debug interface, which is worth
an identity in the mesh, is read, checked and sent in one go, while the API names this pod at this
address, and only after 15012 there has presented a certificate of the mesh with istiod's name. The
proof is good for one request. Files are read each time, so that a rotated token or root is taken at
once.
"""

import re
import ssl
from functools import lru_cache

from exporter.access.dialer import NoAccess
from exporter.bounded_file import read_bounded
from exporter.bounds import SECRET_FILE
from exporter.model import Certificate
from exporter.probes.attempt import Attempt
from exporter.probes.tls import TlsProtocol, handshake, unnamed_context

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
"""What may stand in an Authorization header (RFC 6750, 2.1)."""

_GRPC = ("h2",)


async def proven_handshake(attempt: Attempt, alpn: tuple[str, ...]) -> TlsProtocol:
    """A handshake with the probed port, whose certificate has to be of the mesh.

    Where the mesh's root is not known, any certificate is taken. One that does not verify is
    requested once more, so that its dates and names are known beside the failure.

    Raises:
        ssl.SSLCertVerificationError: the certificate is not of this mesh, or not valid now.
        Others: as `handshake`.
    """
    trust, port = attempt.options.trust, attempt.probe.port
    context = _mesh_context(trust.root_file, alpn) if trust else None
    try:
        return await handshake(attempt, alpn, port, context)
    except ssl.SSLCertVerificationError:
        line = await handshake(attempt, alpn, port)
        attempt.facts = line.facts
        raise


def other_name(attempt: Attempt, certificate: Certificate | None) -> str:
    """What to say of a webhook's certificate that the API server would not take for istiod's.

    Empty where it has one of the names, and where it is not known which these are.
    """
    trust = attempt.options.trust
    if trust is None or certificate is None:
        return ""
    expected = (*trust.names, *trust.webhook_names, *trust.called_names())
    if not expected or set(certificate.dns_names) & set(expected):
        return ""
    names = ", ".join(certificate.dns_names[:_NAMES_SHOWN]) or "no name"
    return f"the certificate is for {names}, not for {expected[0]} (istiod.webhook_names)"


_NAMES_SHOWN = 3


def may_be_authorized(attempt: Attempt) -> bool:
    """Whether this target may be given the token now, if it proves itself."""
    trust = attempt.options.trust
    return bool(trust and trust.token_file and trust.is_named(attempt.dialer.address))


async def authorize(attempt: Attempt) -> bytes:
    """The value of the Authorization header for an istiod that has just proved itself.

    Empty where the API names it no more: another pod may have its address by now.

    Raises:
        NoAccess: the mesh's root or the token cannot be read. ssl.SSLError: 15012 presented
            another mesh's certificate, or none of istiod's. Others: as `handshake`.
    """
    trust = attempt.options.trust
    if trust is None or not trust.token_file:
        raise NoAccess("this target is never given the debug token")
    context = _mesh_context(trust.root_file, _GRPC)
    if context is None:
        raise NoAccess(f"the mesh's root certificate cannot be read: {trust.root_file}")
    line = await attempt.dialer.connect(trust.port, lambda: TlsProtocol(_GRPC, context))
    try:
        await line.done
    finally:
        line.transport.abort()
    _require_name(line.facts.certificate, trust.names)
    if not may_be_authorized(attempt):
        return b""
    return b"Bearer " + _read_token(trust.token_file).encode()


def _require_name(certificate: Certificate | None, names: tuple[str, ...]) -> None:
    """Any workload has a certificate of the mesh; only istiod's has its DNS name."""
    presented = certificate.dns_names if certificate else ()
    if not set(presented) & set(names):
        raise ssl.SSLCertVerificationError("the certificate is of the mesh, but not istiod's")


def _read_token(file: str) -> str:
    """The token; an error never quotes what is in the file."""
    try:
        token = read_bounded(file, SECRET_FILE).decode("ascii").strip()
    except (OSError, ValueError):
        raise NoAccess(f"the debug token cannot be read: {file}") from None
    if not _TOKEN.fullmatch(token):
        raise NoAccess(f"there is no token in {file}")
    return token


def _mesh_context(file: str, alpn: tuple[str, ...]) -> ssl.SSLContext | None:
    """A context that takes the mesh's certificates only; None while its root is not there."""
    try:
        return _trusting(read_bounded(file, SECRET_FILE).decode("ascii"), alpn)
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=8)
def _trusting(root: str, alpn: tuple[str, ...]) -> ssl.SSLContext:
    """Raises ssl.SSLError, which is an OSError, for a root that is none."""
    context = unnamed_context(alpn)
    context.load_verify_locations(cadata=root)
    return context
