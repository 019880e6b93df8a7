"""Whole exporters in this process, a cluster's API, and an istiod that notes who asks it."""

from tests.discovery.conftest import cluster

__all__ = ["cluster"]
