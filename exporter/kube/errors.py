"""How the Kubernetes API fails, for those that are handed one."""


class KubernetesError(Exception):
    """The API server refused, or did not answer. Its text is one short line without secrets.

    `status` is that of HTTP, 0 where no answer came. `retry_after`: seconds, when it said so.
    """

    def __init__(self, status: int, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after = retry_after

    @classmethod
    def of(cls, status: int, text: str, retry_after: float | None = None) -> "KubernetesError":
        """The error of the class that this status belongs to."""
        kinds: dict[int, type[KubernetesError]] = {
            0: UnreachableError,
            401: UnauthorizedError,
            403: ForbiddenError,
            410: GoneError,
            429: TooManyRequestsError,
        }
        return kinds.get(status, KubernetesError)(status, text, retry_after)


class UnreachableError(KubernetesError):
    """No answer came, or what came was not an answer of Kubernetes."""


class UnauthorizedError(KubernetesError):
    """It does not know us: the credentials ended or are wrong."""


class ForbiddenError(KubernetesError):
    """It knows us and does not let us."""


class GoneError(KubernetesError):
    """The version asked for is not there any more: the list has to be read anew."""


class TooManyRequestsError(KubernetesError):
    """It is busy; `retry_after` says for how long."""
