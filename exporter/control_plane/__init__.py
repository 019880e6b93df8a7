"""What istiods report of proxies, and the webhook's dry run."""
