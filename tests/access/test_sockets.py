import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.access.sockets import MOST_ROWS, read_rows, table_of
from exporter.model import ListeningSocket

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1224502 1 000000004ee83840 100 0 0 10 0
   1: 0100007F:3A98 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337        0 1224563 1 000000007b700b35 100 0 0 10 0
   2: 00000000:3A9E 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337        0 1225793 1 00000000188686cd 100 0 0 10 0
   3: 00000000:3A9E 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337        0 1225794 1 00000000188686ce 100 0 0 10 0
   6: 4201630A:3A9E 0100630A:C120 06 00000000:00000000 03:00001134 00000000     0        0 0 3 00000000a89531e5
  26: 0100007F:3AF2 0100007F:C1A0 01 00000000:00000000 00:00000000 00000000  1337        0 1225394 1 0000000088655a1e 21 4 29 14 -1
  27: 4201630A:9C40 7B60600A:3AA4 01 00000000:00000000 00:00000000 00000000  1337        0 1225400 1 0000000088655a1f 21 4 29 14 -1
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:3AAC 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1337        0 1225010 2 00000000179d270f 100 0 0 10 0
   1: 0000000000000000FFFF00004201630A:3AAC 0000000000000000FFFF00000100630A:EA68 06 00000000:00000000 03:00001384 00000000     0        0 0 3 00000000e9a48418
   2: 00000000000000000000000001000000:3A98 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1337        0 1225011 2 00000000179d2710 100 0 0 10 0
   3: 000080FE00000000000000000100A8C0:9C41 0000000000000000FFFF00007B60600A:3AA4 01 00000000:00000000 00:00000000 00000000  1337        0 1225401 2 00000000179d2711 20 4 0 10 -1
"""
UDP = """\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  520: 0100007F:3ACD 00000000:0000 07 00000000:00000000 00:00000000 00000000  1337        0 1226001 2 000000004d9ee1d8 0
  521: 00000000:D6D8 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1226002 2 000000004d9ee1d9 0
"""
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


def test_decodes_ports_addresses_and_states():
    row = next(read_rows(TCP.splitlines()[2]))
    assert (row.local, row.remote) == (("127.0.0.1", 15000), ("0.0.0.0", 0))
    assert (row.state, row.inode) == ("0A", 1224563)


def test_decodes_ipv6_and_ipv4_inside_it():
    rows = list(read_rows(TCP6))
    assert [row.local[0] for row in rows] == ["::", "10.99.1.66", "::1", "fe80::c0a8:1"]
    assert rows[3].remote == ("10.96.96.123", 15012)


def test_lists_listeners_once_with_their_owners_catalogue_ports_first():
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


def test_tells_where_the_agent_is_connected():
    tcp = (*read_rows(TCP), *read_rows(TCP6))
    assert table_of(tcp, (), OWNERS).agent_connections == (("10.96.96.123", 15012),)
    assert table_of(tcp, (), {}).agent_connections == ()


def test_keeps_catalogue_ports_when_there_are_too_many():
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
    "wrong width": " 0: 0000:1F90 00000000:0000 0A a b c d e 12",
}


@pytest.mark.parametrize("text", NONSENSE.values(), ids=NONSENSE)
def test_leaves_out_what_is_no_row(text):
    assert list(read_rows(text)) == []


@given(st.text(max_size=300))
def test_no_text_crashes_the_table(text):
    assert len(table_of(read_rows(text), (), {}).listening) <= MOST_ROWS
