"""Basic authentication by bcrypt hashes, off the event loop, and once per password.

A hash of cost 10 takes some 70 ms. What a password was, right or wrong, is remembered as a keyed
digest, so that nobody pays again for the same one. The rule: clients wait in lines of their own,
and whoever gave a wrong password a moment ago waits behind everybody who did not.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import bcrypt

from exporter.web.toolkit.web_file import cost_of

MAX_WAITING = 32
"""Passwords of one client that wait to be checked; more are turned away."""

_MAX_CLIENTS = 512
"""Clients whose passwords wait: as many as there are connections."""

_SUSPECTED_SECONDS = 60.0
"""How long a client waits behind others after a wrong password."""

_REMEMBERED = 1024
_BCRYPT_BYTES = 72


class TooManyChecksError(Exception):
    """So many passwords of this client are being checked already that this one was not."""


class PasswordChecker:
    """Checks passwords one after the other in a thread of its own."""

    def __init__(self) -> None:
        self._secret = os.urandom(32)
        self._right: dict[str, bytes] = {}
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._suspects: OrderedDict[str, float] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")
        self._lines = _Lines()
        self._under_way: dict[bytes, asyncio.Future[bool]] = {}
        self._works = False

    async def verify(self, users: Mapping[str, str], header: str, client: str = "") -> bool:
        """Whether an Authorization header names a user with the right password.

        `client`: the peer's address. Raises TooManyChecksError; a password that was right before is
        never turned away.
        """
        credentials = read_credentials(header)
        if credentials is None:
            return False
        user, password = credentials
        # An unknown user costs as much as a known one: time must not tell who exists.
        hashed = users.get(user) or _nobody(users)
        proof = self._proof(user, hashed, password)
        if user in users and hmac.compare_digest(self._right.get(user, b""), proof):
            return True
        if proof in self._wrong:
            return False
        right = await self._check(client, hashed, password, proof) and user in users
        if right:
            self._right[user] = proof
        else:
            _remember(self._wrong, proof, None)
            _remember(self._suspects, client, time.monotonic() + _SUSPECTED_SECONDS)
        return right

    def close(self) -> None:
        """Stop the thread; what waits is dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _check(self, client: str, hashed: str, password: bytes, proof: bytes) -> bool:
        """The same password is checked once, however many wait for it, and whoever goes away."""
        result = self._under_way.get(proof)
        if result is None:
            suspected = self._suspects.get(client, 0.0) > time.monotonic()
            result = asyncio.get_running_loop().create_future()
            self._lines.add(client, (hashed, password, proof, result), suspected=suspected)
            self._under_way[proof] = result
            self._work()
        return await asyncio.shield(result)

    def _work(self) -> None:
        """Start the next check, if none runs."""
        waiting = None if self._works else self._lines.next()
        if waiting is None:
            return
        hashed, password, proof, result = waiting
        self._works = True

        def done(check: asyncio.Future[bool]) -> None:
            self._works = False
            del self._under_way[proof]
            if check.cancelled() or check.exception():
                result.set_exception(TooManyChecksError())
                result.exception()  # whoever waits gets it, and nobody may
            else:
                result.set_result(check.result())
            self._work()

        loop = asyncio.get_running_loop()
        try:
            check = loop.run_in_executor(self._thread, _matches, hashed, password)
        except RuntimeError:  # no thread can be started now: a later one may
            check = loop.create_future()
            check.cancel()
        check.add_done_callback(done)

    def _proof(self, user: str, hashed: str, password: bytes) -> bytes:
        parts = b"\0".join((user.encode(), hashed.encode(), password))
        return hashlib.blake2b(parts, key=self._secret).digest()


_Check = tuple[str, bytes, bytes, "asyncio.Future[bool]"]


class _Lines:
    """A line for each client, round robin; those of suspected clients after all others."""

    def __init__(self) -> None:
        self._trusted: OrderedDict[str, deque[_Check]] = OrderedDict()
        self._suspected: OrderedDict[str, deque[_Check]] = OrderedDict()

    def add(self, client: str, check: _Check, *, suspected: bool) -> None:
        """Wait at the end of the client's line; raises TooManyChecksError."""
        lines = self._suspected if suspected else self._trusted
        line = lines.get(client)
        if (line is None and len(lines) >= _MAX_CLIENTS) or len(line or ()) >= MAX_WAITING:
            raise TooManyChecksError
        lines.setdefault(client, deque()).append(check)

    def next(self) -> _Check | None:
        """Take the first of the next client's line."""
        for lines in (self._trusted, self._suspected):
            if lines:
                client, line = lines.popitem(last=False)
                check = line.popleft()
                if line:
                    lines[client] = line
                return check
        return None


def _remember(known: OrderedDict[Any, Any], key: object, value: object) -> None:
    """Keep the newest: what was forgotten costs one more check."""
    known[key] = value
    known.move_to_end(key)
    if len(known) > _REMEMBERED:
        known.popitem(last=False)


def read_credentials(header: str) -> tuple[str, bytes] | None:
    """User and password of an Authorization header; None when it holds none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None


def _matches(hashed: str, password: bytes) -> bool:
    # bcrypt has never used more than 72 bytes; the library refuses them where others cut.
    return bcrypt.checkpw(password[:_BCRYPT_BYTES], hashed.encode())


def _nobody(users: Mapping[str, str]) -> str:
    """A hash that no password has, as slow as the slowest of the users'."""
    cost = max(map(cost_of, users.values()))
    return f"$2b${cost:02}$" + "." * 53
