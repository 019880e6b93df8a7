"""Istio's version in what images, labels and servers call themselves. Pure.

A version of Istio is 1.MINOR or 1.MINOR.PATCH. Tags add a variant (`-distroless`) or a vendor's
build to it, or have the vendor's own numbers, which a table maps to the line that they are.
"""

import re
from collections.abc import Mapping

from exporter.parsing import parse_version

_PLAIN = re.compile(r"(?<![0-9A-Za-z.])v*(1\.[0-9]{1,6}(?:\.[0-9]{1,6})?)(?=[^0-9A-Za-z]|\Z)")

SERVICE_MESH: Mapping[tuple[int, int], str] = {
    (2, 0): "1.6",
    (2, 1): "1.9",
    (2, 2): "1.12",
    (2, 3): "1.14",
    (2, 4): "1.16",
    (2, 5): "1.18",
    (2, 6): "1.20",
    (3, 0): "1.24",
    (3, 1): "1.26",
    (3, 2): "1.27",
    (3, 3): "1.28",
    (3, 4): "1.30",
}
"""The releases of OpenShift Service Mesh, and the Istio line of each."""


def plain_version(text: str) -> str:
    """The version of Istio that a text contains: "1.28.10" of "v1.28.10-distroless"; else empty.

    One that Istio's name precedes outranks others, as in "1.5.0-istio-1.28.10".
    """
    text = text[:256]
    found = _PLAIN.search(text.lower().rpartition("istio")[2]) or _PLAIN.search(text)
    return found[1] if found else ""


def istio_version_of(text: str) -> str:
    """The plain version in a tag, or the line of a vendor's own number; else empty."""
    plain, own = plain_version(text), parse_version(text)
    return plain or (SERVICE_MESH.get(own, "") if own else "")


def line_of(version: str) -> tuple[int, int] | None:
    """The Istio line of a version or image tag: "1.28.3-distroless" -> (1, 28); None if unclear."""
    return parse_version(istio_version_of(version) or version)
