"""A Prometheus exporter for the ports of Istio's data plane and control plane."""

from importlib.metadata import version

__version__ = version("istio-port-exporter")
