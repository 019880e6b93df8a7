"""`compare`: a unified diff for each file in which two records differ, and a sentence."""

from difflib import unified_diff
from pathlib import Path


def compare(before: Path, after: Path) -> int:
    """Print the differences; 0 when there are none, 1 when there are, 2 without records."""
    texts = _texts(before), _texts(after)
    for folder, found in zip((before, after), texts, strict=True):
        if not found:
            print(f"There is no record in {folder}.")
            return 2
    names = sorted(texts[0].keys() | texts[1].keys())
    different = [name for name in names if texts[0].get(name) != texts[1].get(name)]
    for name in different:
        old, new = (found.get(name, "").splitlines() for found in texts)
        print("\n".join(unified_diff(old, new, f"before/{name}", f"after/{name}", lineterm="")))
    print(f"{len(names)} files compared, {len(different)} differ.")
    return int(bool(different))


def _texts(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*.txt")}
