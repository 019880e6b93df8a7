"""One exporter and thousands of captured sidecars: what `make bench-scale` measures."""
