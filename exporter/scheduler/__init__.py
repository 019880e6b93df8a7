"""Who is polled when."""
