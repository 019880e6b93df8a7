"""A Prometheus exporter for the ports of Istio's data plane and control plane."""

__version__ = "0.1.0"
