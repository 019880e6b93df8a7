from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.access.socket_rows import read_rows
from exporter.access.socket_table import MOST_ROWS, table_of
from exporter.model import ListeningSocket

DATA = Path(__file__).parents[1] / "data" / "sockets"
TCP = (DATA / "tcp.txt").read_text()
TCP6 = (DATA / "tcp6.txt").read_text()
UDP = (DATA / "udp.txt").read_text()
OWNERS = {
    1224502: "python",
    1224563: "envoy",
    1225793: "envoy",
    1225794: "envoy",
    1225010: "pilot-agent",
    1225011: "envoy",
    1225400: "pilot-agent",
    1225401: "pilot-agent",
    1226001: "pilot-agent",
}


def listener(port: int, address: str, process: str, protocol: str = "tcp") -> ListeningSocket:
    return ListeningSocket(port=port, address=address, process=process, protocol=protocol)


def test_decodes_ports_addresses_and_states() -> None:
    row = next(read_rows(TCP.splitlines()[2]))
    assert (row.local, row.remote) == (("127.0.0.1", 15000), ("0.0.0.0", 0))
    assert (row.state, row.inode) == ("0A", 1224563)


def test_decodes_ipv6_and_ipv4_inside_it() -> None:
    rows = list(read_rows(TCP6))
    assert [row.local[0] for row in rows] == ["::", "10.99.1.66", "::1", "fe80::c0a8:1"]
    assert rows[3].remote == ("10.96.96.123", 15012)


def test_lists_listeners_once_with_their_owners_catalogue_ports_first() -> None:
    tcp = (*read_rows(TCP), *read_rows(TCP6))
    table = table_of(tcp, read_rows(UDP), OWNERS)
    assert table.listening == (
        listener(8080, "0.0.0.0", "python"),
        listener(15000, "127.0.0.1", "envoy"),
        listener(15000, "::1", "envoy"),
        listener(15006, "0.0.0.0", "envoy"),
        listener(15020, "::", "pilot-agent"),
        listener(15053, "127.0.0.1", "pilot-agent", "udp"),
    )


def test_tells_where_the_agent_is_connected() -> None:
    tcp = (*read_rows(TCP), *read_rows(TCP6))
    assert table_of(tcp, (), OWNERS).agent_connections == (("10.96.96.123", 15012),)
    assert table_of(tcp, (), {}).agent_connections == ()


def test_keeps_catalogue_ports_when_there_are_too_many() -> None:
    line = "0: 00000000:{:04X} 00000000:0000 0A 0 0 0 0 0 {} 1"
    text = "\n".join(line.format(port, port) for port in [*range(20000, 20100), 15021])
    listening = table_of(read_rows(text), (), {}).listening
    assert len(listening) == MOST_ROWS
    assert listening[0].port == 15021


NONSENSE = {
    "empty": "",
    "header only": TCP.splitlines()[0],
    "short line": " 0: 00000000:1F90 00000000:0000 0A",
    "no hexadecimals": " 0: zzzz:1F90 00000000:0000 0A a b c d e 12",
    "a port beyond all": " 0: 0100007F:10000 00000000:0000 0A a b c d e 12",
    "a port below all": " 0: 0100007F:-1 00000000:0000 0A a b c d e 12",
    "wrong width": " 0: 0000:1F90 00000000:0000 0A a b c d e 12",
}


@pytest.mark.parametrize("text", NONSENSE.values(), ids=NONSENSE)
def test_leaves_out_what_is_no_row(text: str) -> None:
    assert list(read_rows(text)) == []


@given(st.text(max_size=300))
def test_no_text_crashes_the_table(text: str) -> None:
    assert len(table_of(read_rows(text), (), {}).listening) <= MOST_ROWS
