"""The running program: sessions, signals, capabilities, self checks."""
