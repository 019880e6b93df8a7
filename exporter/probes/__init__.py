"""Probing a port in its own protocol: one protocol or endpoint a file, and what runs them."""
