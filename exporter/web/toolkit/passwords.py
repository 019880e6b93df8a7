"""Basic authentication by bcrypt hashes, off the event loop, and once per password.

A hash of cost 10 takes some 70 ms. A password that was right is remembered as a keyed digest,
so that a scrape does not pay again; wrong ones and unknown users always pay in full.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import bcrypt

from exporter.web.toolkit.web_file import cost_of

MAX_WAITING = 16
"""Passwords that wait to be checked; more are turned away, they would wait for over a second."""

_BCRYPT_BYTES = 72


class TooManyChecksError(Exception):
    """So many passwords are being checked already that this one was not."""


class PasswordChecker:
    """Checks passwords one after the other in a thread of its own."""

    def __init__(self) -> None:
        self._secret = os.urandom(32)
        self._right: dict[str, bytes] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")
        self._waiting = 0

    async def verify(self, users: Mapping[str, str], header: str) -> bool:
        """Whether an Authorization header names a user with the right password.

        Raises TooManyChecksError; a password that was right before is never turned away.
        """
        credentials = read_credentials(header)
        if credentials is None:
            return False
        user, password = credentials
        # An unknown user costs as much as a known one: time must not tell who exists.
        hashed = users.get(user) or _nobody(users)
        proof = self._proof(hashed, password)
        if user in users and hmac.compare_digest(self._right.get(user, b""), proof):
            return True
        right = await self._check(hashed, password) and user in users
        if right:
            self._right[user] = proof
        return right

    def close(self) -> None:
        """Stop the thread; what waits is dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _check(self, hashed: str, password: bytes) -> bool:
        if self._waiting >= MAX_WAITING:
            raise TooManyChecksError
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, _matches, hashed, password)
        finally:
            self._waiting -= 1

    def _proof(self, hashed: str, password: bytes) -> bytes:
        return hashlib.blake2b(hashed.encode() + password, key=self._secret).digest()


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
    # bcrypt has never looked beyond 72 bytes; the library refuses them where others cut.
    return bcrypt.checkpw(password[:_BCRYPT_BYTES], hashed.encode())


def _nobody(users: Mapping[str, str]) -> str:
    """A hash that no password has, as slow as the slowest of the users'."""
    cost = max(map(cost_of, users.values()))
    return f"$2b${cost:02}$" + "." * 53
