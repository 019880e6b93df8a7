"""Text as anybody may write it into a pod: numbers, versions, addresses, times, deep documents."""

from hypothesis import strategies as st

NUMBERS = (
    "0",
    "15020",
    "65536",
    "-1",
    "+1",
    "1_0",
    "1e3",
    "²",
    "١٥٠٢٠",
    "9" * 5000,
    " " * 12 + "80",
)


VERSIONS = (
    "1.28",
    "v1.28.3-distroless",
    "1.\u00b2",
    "\u0661.\u0662",
    "1." + "9" * 5000,
    "1.",
    ".",
    "1.28\n",
    "v",
)


ADDRESSES = ("10.0.0.1", "fd00::1", "::ffff:10.0.0.1", "x", "10.0.0.1\n", "fe80::1%\0", "1" * 5000)


TIMES = ("2026-01-01T00:00:00Z", "0001-01-01T00:00:00", "9999-12-31T23:59:59-23:59", "9" * 5000)


DEEP = "[" * 1200 + "]" * 1200


VERY_LARGE = "0x" + "F" * 5000
"""A number that YAML reads and Python does not print."""


CONFIGS = (
    DEEP,
    '{"statusPort": 1e400}',
    f"statusPort: {VERY_LARGE}",
    f"? {VERY_LARGE}\n: x",
    f"proxyMetadata: {{A: {VERY_LARGE}}}",
    "2020-01-01: x",
    "? !!binary aGk=\n: x",
    "- 1",
    "{1: 2}",
    "a: &a b",
)


texts = st.one_of(
    st.sampled_from((*NUMBERS, *VERSIONS, *ADDRESSES, *TIMES, *CONFIGS)),
    st.lists(st.sampled_from(NUMBERS), max_size=3).map(",".join),
    st.text(max_size=20),
)
