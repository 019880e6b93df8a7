"""What the exporter says, as files, so that two versions of it can be compared line by line.

`record` looks at an exporter from outside only: its command line and its HTTP. The network that
the exporter sees is this checkout's own replay of recorded states, so whatever two records differ
in comes of the two exporters. `compare` shows the differences.
"""
