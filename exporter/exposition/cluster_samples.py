"""The samples of the mesh as a whole, one function per metric family, as in `samples`.

No target's labels come before these, so the first label has no comma.
"""

from exporter.exposition.samples import Sample
from exporter.exposition.text_format import labelled
from exporter.model import ClusterRecord


def ambient_pods(record: ClusterRecord) -> list[Sample]:
    """`istio_proxy_ambient_pods`: redirection is enabled or missing."""
    return [
        (_first(namespace=namespace, node=node, redirection=redirection), count)
        for (namespace, node, redirection), count in record.ambient_pods.items()
    ]


def missing_proxies(record: ClusterRecord) -> list[Sample]:
    """`istio_proxy_missing_pods`: what asks for the proxy is the reason."""
    return [
        (_first(namespace=namespace, reason=reason), count)
        for (namespace, reason), count in record.missing_proxies.items()
    ]


def webhook_path_up(record: ClusterRecord) -> tuple[Sample, ...]:
    """`istio_control_plane_webhook_path_up`: while the dry run shows the one or the other."""
    path = record.webhook_path
    if path is None or path.up is None:
        return ()
    return ((_first(revision=path.revision), path.up),)


def webhook_path_outcome(record: ClusterRecord) -> tuple[Sample, ...]:
    """`istio_control_plane_webhook_path_outcome`: how a dry run that was not ok ended."""
    path = record.webhook_path
    if path is None or path.up:
        return ()
    return ((_first(revision=path.revision, outcome=path.outcome.value), 1),)


def _first(**labels: str) -> str:
    return labelled(**labels).removeprefix(",")
