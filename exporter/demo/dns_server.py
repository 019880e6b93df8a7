"""The agent's DNS proxy as a stand-in: every question is answered, over UDP and TCP. Pure."""

import struct

_HEADER = struct.Struct("!HHHHHH")
_ANSWERED = 0x8180  # a response, recursion desired and available, no error


def answer_query(query: bytes) -> bytes | None:
    """An empty answer to a query: its id and question given back; None for what is no query."""
    if len(query) < _HEADER.size:
        return None
    number, flags, questions, *_ = _HEADER.unpack_from(query)
    if flags & 0x8000:
        return None
    end = _HEADER.size
    while end < len(query) and query[end]:
        end += query[end] + 1
    question = query[_HEADER.size : end + 5] if questions else b""
    return _HEADER.pack(number, _ANSWERED, min(questions, 1), 0, 0, 0) + question
