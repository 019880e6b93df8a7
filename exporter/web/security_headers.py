"""The headers that every answer carries, whoever makes it."""

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "istio-port-exporter",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""`Server` has no version: it would say what to try."""
