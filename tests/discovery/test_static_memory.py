"""What thousands of static targets take once they were read, in a process of their own."""

import subprocess
import sys
from pathlib import Path

_TARGETS = 2_000
_MOST_BYTES = 5_500
"""Of a target: 3.8 kB were measured, and 7.5 kB while names kept the document's memory."""

_READ = """
import sys
from pathlib import Path
from exporter.config import StaticConfig
from exporter.discovery.static import load_static

def resident():
    rows = Path("/proc/self/status").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("RssAnon")) * 1024

before = resident()
targets = load_static(StaticConfig(files=("targets.yaml",)), Path(sys.argv[1]))
print((resident() - before) // len(targets))
"""


def test_of_a_file_that_was_read_its_targets_alone_stay(tmp_path: Path) -> None:
    rows = [
        f"- {{namespace: team-{n % 40}, pod: web-{n % 400}-6d4f8c7b9d-{n:05d}, role: sidecar,"
        f" captured: true, address: 10.0.{n // 250}.{n % 250}, istio_version: 1.28.3,"
        f" node: node-{n % 200}, workload: web-{n % 400}}}\n"
        for n in range(_TARGETS)
    ]
    (tmp_path / "targets.yaml").write_text("".join(rows))

    command = (sys.executable, "-c", _READ, str(tmp_path))
    read = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

    assert int(read.stdout) < _MOST_BYTES
