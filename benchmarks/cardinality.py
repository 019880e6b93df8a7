"""How many series and bytes so many sidecars are, per profile, and what gzip makes of them.

`python -m benchmarks.cardinality` prints the table of docs/metrics.md.
"""

import gzip
from time import process_time

from benchmarks.records import NOW, healthy_sidecar, seen_from_pod
from exporter.exposition import PROFILES, assemble, render, selected

SIDECARS = (1_000, 3_000, 10_000)
GZIP_LEVEL = 3
"""The level at which the exporter answers."""

HEAD = (
    "| profile | view | sidecars | series | bytes | gzip bytes | gzip seconds |\n"
    "|---|---|---:|---:|---:|---:|---:|"
)


def row(profile: str, view: str, sidecars: int) -> str:
    """Measure one row: only healthy sidecars, gzip at the level that the exporter uses."""
    families = selected(profile)
    records = (healthy_sidecar(index) for index in range(sidecars))
    if view == "pod":
        records = (seen_from_pod(record) for record in records)
    blocks = [render(record, families) for record in records]
    text = b"".join(assemble(families, blocks, openmetrics=False))
    series = sum(not line.startswith(b"#") for line in text.splitlines())
    begin = process_time()
    packed = len(gzip.compress(text, GZIP_LEVEL))
    seconds = process_time() - begin
    return (
        f"| {profile} | {view} | {sidecars:,} | {series:,} | {len(text) / 1e6:.1f} MB "
        f"| {packed / 1e6:.2f} MB | {seconds:.2f} |"
    )


def main() -> None:
    """Print the table."""
    print(f"records of {NOW:.0f}; gzip level {GZIP_LEVEL}\n")
    print(HEAD)
    for profile in PROFILES:
        for view in ("network", "pod"):
            for sidecars in SIDECARS:
                print(row(profile, view, sidecars), flush=True)


if __name__ == "__main__":
    main()
