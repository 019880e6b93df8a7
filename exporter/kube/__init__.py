"""The Kubernetes API over HTTP: credentials, requests, and the lines of an answer that goes on.

Knows nothing of pods or targets: the app hands an `Api` to whoever follows a cluster.
"""

from exporter.kube.api import Api
from exporter.kube.credentials import (
    SERVICE_ACCOUNT,
    Credentials,
    Load,
    find_credentials,
    load_kubeconfig,
    load_service_account,
)

__all__ = [
    "SERVICE_ACCOUNT",
    "Api",
    "Credentials",
    "Load",
    "find_credentials",
    "load_kubeconfig",
    "load_service_account",
]
