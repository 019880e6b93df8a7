"""Write limits.md from the table of bounds: `make runbooks`."""

from pathlib import Path

from exporter.bounds import BOUNDS, Bound

PAGE = Path(__file__).parent / "limits.md"

_PREFACE = """# Limits

What comes from outside is taken up to a limit: pods, what their ports send, what the API serves.
Ordinary meshes stay well below these; nobody has to configure them. [security.md](security.md) says
against whom they help.

| of what | at most | what is beyond | why |
|---|---:|---|---|
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


def page() -> str:
    """The page, a row for each bound."""
    return _PREFACE + "".join(map(_row, BOUNDS))


def _row(bound: Bound) -> str:
    return f"| {bound.what} | {_number(bound)} | {bound.excess} | {bound.reason} |\n"


def _number(bound: Bound) -> str:
    """With its unit; bytes in the unit in which they are few."""
    if bound.unit == "bytes" and bound % 1024 == 0:
        kibibytes, mebibytes = bound // 1024, bound // 1024**2
        return f"{mebibytes} MiB" if mebibytes else f"{kibibytes} KiB"
    return f"{bound:,} {bound.unit}".rstrip()
