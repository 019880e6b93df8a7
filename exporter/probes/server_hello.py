"""What a TLS server chose, before OpenSSL computes with it: the group of a HelloRetryRequest. Pure.

A server may turn down the key that a hello offers, and name another group of those that OpenSSL
supports. One of finite fields with 8,192 bits takes it 130 ms, in which nobody else has a turn; the
`ssl` module cannot leave groups out. Neither BoringSSL, Go nor rustls has any of these.
"""

from hashlib import sha256

MOST_BYTES = 2048
"""In which the first message of a server is whole, or it is none; recorded: 1,300 at most."""

_HANDSHAKE = 0x16
_RECORD_HEAD = 5
_SERVER_HELLO = 2
_HEAD = 4
_HELLO_REQUEST = bytes(_HEAD)
"""OpenSSL skips it wherever it comes."""

_RETRY = sha256(b"HelloRetryRequest").digest()
"""The random of a server's hello that is none (RFC 8446, 4.1.3)."""

_RANDOM = slice(_HEAD + 2, _HEAD + 34)
_SESSION = _HEAD + 34
_KEY_SHARE = 51
_FINITE_FIELDS = range(0x0100, 0x0200)
"""ffdhe2048 to ffdhe8192, and the codepoints kept for more (RFC 7919)."""


def chooses_finite_field(start: bytes) -> bool | None:
    """Whether these first bytes of a server ask for a group of finite fields; None: go on."""
    message = _first_message(start)
    if message is None:
        return None
    if message[0] != _SERVER_HELLO or message[_RANDOM] != _RETRY:
        return False
    # After the session: a cipher suite, a compression, and how long the extensions are.
    at = _SESSION + 1 + int.from_bytes(message[_SESSION : _SESSION + 1]) + 5
    while at + _HEAD <= len(message):
        kind, length = _number(message, at), _number(message, at + 2)
        if kind == _KEY_SHARE and _number(message, at + _HEAD) in _FINITE_FIELDS:
            return True
        at += _HEAD + length
    return False


def _first_message(start: bytes) -> bytes | None:
    """The first handshake message, put together from its records; None while it is not whole."""
    payload = bytearray()
    at = 0
    while at + _RECORD_HEAD <= len(start):
        end = at + _RECORD_HEAD + _number(start, at + 3)
        if start[at] == _HANDSHAKE:
            payload += start[at + _RECORD_HEAD : end]
        at = end
    skipped = 0
    while payload[skipped : skipped + _HEAD] == _HELLO_REQUEST:
        skipped += _HEAD
    message = bytes(payload[skipped:])
    size = _HEAD + int.from_bytes(message[1:_HEAD])
    return message[:size] if len(message) >= max(size, _HEAD) else None


def _number(text: bytes, at: int) -> int:
    return int.from_bytes(text[at : at + 2])
