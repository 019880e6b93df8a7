"""Whole exporters in this process, a cluster's API, and an istiod that notes who asks it."""

from tests.kube.api_server import cluster

__all__ = ["cluster"]
