"""Where targets come from: pods of the Kubernetes API, and files or lists written by hand."""
