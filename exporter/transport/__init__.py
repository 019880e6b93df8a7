"""TCP connections for 20,000 targets in one process."""
