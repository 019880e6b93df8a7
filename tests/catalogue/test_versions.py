"""Istio's version in tags, vendors' numbers and what /version returns."""

import pytest

from exporter.catalogue import istio_version_of, line_of, plain_version
from exporter.catalogue.versions import SERVICE_MESH


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("1.28.10", "1.28.10"),
        ("v1.28.10", "1.28.10"),
        ("1.28.10-distroless", "1.28.10"),
        ("1.17.8-asm.4", "1.17.8"),
        ("1.24.6-solo-fips", "1.24.6"),
        ("1.20.8-tetrate-v0", "1.20.8"),
        ("v1.18.2-solo", "1.18.2"),
        ("1.22.3-distroless@sha256:00", "1.22.3"),
        ("1.18.0.112-g1a2b3c4-aliyun", "1.18.0"),
        ("release-1.22", "1.22"),
        ("1-22-3", ""),
        ("1.31-alpha.0c1d2e", "1.31"),
        ("OSSM_2.6.1-1.20.8-abcdef-Clean", "1.20.8"),
        ("1.28.10-5f1e-5f1e-Clean", "1.28.10"),
        ("istiod-1.28.1", "1.28.1"),
        ("1.5.0-istio-1.28.10", "1.28.10"),
        ("2026.10.1-istio1.28.10", "1.28.10"),
        ("envoy-1.36.4-Istio-v1.28.10-fips", "1.28.10"),
        ("1.28.10-istio", "1.28.10"),
        ("2.6.3", ""),
        ("latest", ""),
        ("", ""),
        ("sha256.1.20.8", ""),
    ],
)
def test_a_text_contains_a_plain_version(text: str, plain: str) -> None:
    assert plain_version(text) == plain


@pytest.mark.parametrize(("release", "line"), SERVICE_MESH.items())
def test_a_vendors_number_is_mapped_to_its_line(release: tuple[int, int], line: str) -> None:
    major, minor = release
    for tag in (f"{major}.{minor}.3", f"v{major}.{minor}.0", f"{major}.{minor}"):
        assert istio_version_of(tag) == line
        assert line_of(tag) == line_of(line) == line_of(f"{line}.7")


def test_a_plain_version_outranks_the_vendors_own() -> None:
    assert istio_version_of("OSSM_2.6.1-1.20.8-abcdef-Clean") == "1.20.8"
