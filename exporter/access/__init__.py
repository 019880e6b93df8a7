"""From where a connection to a target starts: direct, netns, port-forward."""
