"""Lines out of chunks of any size."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.kube.api_errors import KubernetesError
from exporter.kube.watch_events import lines_of

lines = st.lists(st.binary(min_size=1).filter(lambda line: b"\n" not in line and line.strip()))
"""With blanks before them or without."""


async def read(chunks: list[bytes]) -> list[bytes]:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return [line async for line in lines_of(stream())]


@given(lines, st.integers(min_value=1, max_value=7))
async def test_lines_are_whole_whatever_the_size_of_the_chunks(
    expected: list[bytes], size: int
) -> None:
    text = b"".join(line + b"\n" for line in expected)
    chunks = [text[at : at + size] for at in range(0, len(text), size)]
    assert await read(chunks) == [line.lstrip() for line in expected]


async def test_blank_lines_and_an_unfinished_one_are_left_out() -> None:
    assert await read([b"a\n\n \nb", b"\nunfinished"]) == [b"a", b"b"]


async def test_a_line_that_never_ends_is_an_error() -> None:
    with pytest.raises(KubernetesError, match="longer than"):
        await read([b"x" * 2**20] * 17)
