"""TLS contexts: the only place that makes them, so that all of them trust alike.

The rule: a certificate is trusted as Go's programs trust it, kubectl and istiod among them. What
stands in a CA file is an anchor, an intermediate too; and an authority needs neither keyUsage nor
key identifiers nor critical basicConstraints. A CA made by plain openssl has no keyUsage, and from
Python 3.13 on `ssl.create_default_context` refuses it (VERIFY_X509_STRICT). Signatures, dates,
names and whether the issuer may sign at all are verified as ever.
"""

import ssl


def client_context() -> ssl.SSLContext:
    """A client's: it trusts nobody yet, and demands a certificate of the name that it asks for."""
    return _trusting_as_go_does(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def server_context() -> ssl.SSLContext:
    """A server's: it has no certificate yet, and asks its clients for none."""
    return _trusting_as_go_does(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))


def trust(context: ssl.SSLContext, authorities: str | None) -> None:
    """Trust a file of certificates, or without one what the system trusts. Raises OSError."""
    if authorities:
        context.load_verify_locations(authorities)
    else:
        context.load_default_certs()


def _trusting_as_go_does(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
