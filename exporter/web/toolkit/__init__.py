"""TLS, users and headers by an exporter-toolkit web configuration file."""
