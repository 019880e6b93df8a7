"""A cluster behind a stand-in for its API server."""

from tests.kube.api_server import cluster

__all__ = ["cluster"]
