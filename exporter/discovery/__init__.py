"""Where targets come from: pods of the Kubernetes API, and static files or lists."""
