"""Errors of the Kubernetes API, by what the caller does about them."""

import os
import ssl

from exporter.parsing import printable


class KubernetesError(Exception):
    """The API server refused, or did not respond.

    The text is one short line without secrets and control characters, whatever the server wrote.

    `status`: HTTP's, 0 without a response of the Kubernetes API. `retry_after`: seconds, where
    the response has it.
    """

    def __init__(self, status: int, text: str, retry_after: float | None = None) -> None:
        super().__init__(printable(text))
        self.status = status
        self.retry_after = retry_after

    @classmethod
    def of(cls, status: int, text: str, retry_after: float | None = None) -> "KubernetesError":
        """The error of this status' class."""
        kinds: dict[int, type[KubernetesError]] = {403: ForbiddenError, 410: GoneError}
        return kinds.get(status, KubernetesError)(status, text, retry_after)


class TooLargeError(KubernetesError):
    """The response is longer than is read."""


class ForbiddenError(KubernetesError):
    """The account has no right to this."""


class GoneError(KubernetesError):
    """The requested version has expired: list again."""


class SilentWatchError(GoneError):
    """Nothing came for so long that the list is read again, to be sure: no failure."""


def reason_of(error: Exception) -> str:
    """Why a connection did not come about, without the objects that the client's text quotes."""
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {inner.verify_message}"
    if isinstance(inner, ssl.SSLError):
        return f"TLS: {(inner.reason or str(inner)).replace('_', ' ').lower()}"
    if isinstance(inner, OSError) and inner.errno and inner.errno > 0:
        return os.strerror(inner.errno).lower()
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror.lower()
    return str(error)
