"""What a misspelt name was meant to be. Pure."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence on an unknown name; empty where none that is known is like it."""
    likely = get_close_matches(name, list(known), 1)
    return f"; did you mean {likely[0]}?" if likely else ""
