"""What the exporter reports about itself (prometheus_client)."""
