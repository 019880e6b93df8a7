"""One poll of one target: the plan of its probes, follow-ups, the poll itself."""
