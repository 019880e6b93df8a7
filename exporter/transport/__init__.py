"""TCP connections for 20,000 targets in one process: the contract, which two backends keep.

`backend` chooses one of them: `connection`, on an edge-triggered epoll of ours, or `event_loop`, on
the event loop's own transports. `tests/transport/test_contract.py` holds both to what follows.

A caller has two functions. `connect(family, remote, factory)` connects to an IP literal and a port,
`connect_socket(own, remote, factory)` does so on a fresh non-blocking `socket.socket`, which it
takes over. Each returns an awaitable for one waiter, which has to await it at once; a second waiter
is a RuntimeError. It results in the protocol that `factory` made, or raises:

- `ConnectionRefusedError`: the peer refused. A connection that is reset once it was established is
  connected first and lost then, however close one follows the other.
- `icmp.Rejected`: a host that is not ours forbids the connection. Other ICMP messages are an
  unreachable host (Linux; elsewhere ICMP is not distinguished from a refusal).
- any other OSError of the system, from the call or from awaiting.
- what `connection_made` raised.

There are no deadlines: whoever waits is cancelled, by its task or with an exception at its `await`,
and the socket is closed then.

The protocol is called `connection_made` once, then `data_received` with all bytes in their order,
then `connection_lost` once. An end of stream is `connection_lost(None)`, whatever is unsent is
dropped; a reset is `connection_lost(error)`. So is whatever the protocol itself raises from
`data_received`: it ends its own connection and no other one.

Its transport has three members. `write(data)` sends, or keeps in memory what the kernel does not
take yet; errors are reported by `connection_lost`, never by `write`. `abort()` resets the
connection; nothing is reported to the protocol after it, and further calls do nothing.
`unread_seconds` is for how long what was read last had been in the kernel. The protocol may call
each from any callback, and may connect again there.

`bare_connects()`, which the epoll alone has, makes half-open connects without a protocol.
`begin(family, remote, handler)` returns a socket; the handler is called once, unless
`abort(socket)` was, and hands what it got to `end(socket, events)`: None where the port accepts,
else what a connect raises.

With a `HalfOpenConnect` the last packet of the handshake is withheld until the protocol writes or
aborts (Linux), so that the process that listens does not notice. No connection leaves TIME_WAIT.

Not offered: resolving names, TLS, `pause_reading`, limits on what is written, half-close
(`write_eof`, `eof_received`), `close` after a flush, `get_extra_info`, use from another thread.
"""
