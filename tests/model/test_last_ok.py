"""When each port was last up, whichever ports answer when."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.model import LastOk

PORTS = st.integers(1, 6)


@given(st.lists(st.frozensets(PORTS), max_size=8))
def test_each_port_was_last_up_in_the_last_poll_that_found_it_up(
    polls: list[frozenset[int]],
) -> None:
    last_ok, expected = LastOk(), dict[int, float]()
    for at, up in enumerate(polls, 1):
        last_ok = last_ok.after(tuple(up), float(at))
        expected |= dict.fromkeys(up, float(at))

    assert {port: last_ok.get(port) for port in range(1, 7) if last_ok.get(port)} == expected
    moved = {port: last_ok.moved(60).get(port) for port in expected}
    assert moved == {port: at + 60 for port, at in expected.items()}
