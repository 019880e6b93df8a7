"""`python -m benchmarks.behaviour record ...` and `... compare BEFORE AFTER`."""

import argparse
import signal
import sys
import time
from pathlib import Path

from benchmarks.behaviour.compare import compare
from benchmarks.behaviour.record import record
from benchmarks.processes import Failed
from exporter.demo import SHIPPED, MeshError, can_build_networks

_OUT = "a new folder"


def main() -> int:
    """Ends with 0 when all is the same, 1 when something differs, 2 when it could not be done."""
    chosen = _parser().parse_args()
    if chosen.command == "compare":
        return compare(chosen.before, chosen.after)
    if not can_build_networks():
        print("Replaying needs network namespaces and iptables: run it as root on Linux.")
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends what it started, as Ctrl-C
    begin = time.monotonic()
    try:
        unsettled = record(chosen.exporter, chosen.states or [SHIPPED], chosen.out)
    except (Failed, MeshError, OSError, ValueError) as error:
        print(f"cannot record: {error}", file=sys.stderr)
        return 2
    for name in unsettled:
        print(f"did not settle: {name}")
    print(f"Recorded {chosen.exporter} in {time.monotonic() - begin:.0f} s into {chosen.out}.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="behaviour", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    recorder = commands.add_parser("record", help="write down what an exporter says")
    recorder.add_argument("--exporter", type=Path, required=True, help="a checkout with .venv")
    recorder.add_argument("--states", type=Path, action="append", help="a folder of states")
    recorder.add_argument("--out", type=Path, required=True, help=_OUT)
    comparer = commands.add_parser("compare", help="show in what two records differ")
    comparer.add_argument("before", type=Path)
    comparer.add_argument("after", type=Path)
    return parser


if __name__ == "__main__":
    sys.exit(main())
