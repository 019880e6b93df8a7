"""Passwords: hashed once, in a thread, as slowly for those who are unknown; floods turned away."""

import asyncio
import threading
from collections.abc import Iterator

import bcrypt
import pytest
from aiohttp import encode_basic_auth

from exporter.web.toolkit import passwords
from exporter.web.toolkit.passwords import PasswordChecker, TooManyChecksError, read_credentials

HASHED = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4)).decode()
GOOD = encode_basic_auth("alice", "open sesame")


@pytest.fixture
def gatekeeper() -> Iterator[PasswordChecker]:
    keeper = PasswordChecker()
    yield keeper
    keeper.close()


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, str]]:
    """Every hash that a password is compared with, and the thread that does it."""
    calls: list[tuple[bytes, str]] = []

    def check(password: bytes, hashed: bytes) -> bool:
        calls.append((hashed, threading.current_thread().name))
        return bcrypt.checkpw(password, hashed)

    monkeypatch.setattr(passwords, "bcrypt", type("", (), {"checkpw": staticmethod(check)}))
    return calls


async def test_a_right_password_is_hashed_once_and_in_a_thread(
    gatekeeper: PasswordChecker, checked: list[tuple[bytes, str]]
) -> None:
    for _ in range(3):
        assert await gatekeeper.verify({"alice": HASHED}, GOOD)
    assert checked == [(HASHED.encode(), "bcrypt_0")]


async def test_wrong_passwords_and_unknown_users_cost_the_same(
    gatekeeper: PasswordChecker, checked: list[tuple[bytes, str]]
) -> None:
    known = {"alice": HASHED}
    for name in ("alice", "mallory", "mallory"):
        assert not await gatekeeper.verify(known, encode_basic_auth(name, "wrong"))
    costs = [hashed.split(b"$")[2] for hashed, _ in checked]
    assert costs == [b"04", b"04", b"04"]
    assert checked[1][0] != HASHED.encode()


async def test_a_flood_of_guesses_is_turned_away_but_not_who_was_right_before(
    gatekeeper: PasswordChecker,
) -> None:
    known = {"alice": HASHED}
    assert await gatekeeper.verify(known, GOOD)
    guesses = [
        asyncio.create_task(gatekeeper.verify(known, encode_basic_auth("alice", str(index))))
        for index in range(passwords.MAX_WAITING)
    ]
    await asyncio.sleep(0)
    with pytest.raises(TooManyChecksError):
        await gatekeeper.verify(known, encode_basic_auth("alice", "one more"))
    assert await gatekeeper.verify(known, GOOD)
    assert await asyncio.gather(*guesses) == [False] * passwords.MAX_WAITING


@pytest.mark.parametrize(
    ("header", "credentials"),
    [
        ("Basic YTpi", ("a", b"b")),
        ("basic  YTpi ", ("a", b"b")),
        ("Basic YTpiOmM=", ("a", b"b:c")),
        ("", None),
        ("Bearer YTpi", None),
        ("Basic", None),
        ("Basic YWI=", None),
        ("Basic !!!!", None),
        ("Basic YTp", None),
        ("Basic /zph", None),
        ("Basic \xe4", None),
    ],
)
def test_credentials_are_read_or_are_none(
    header: str, credentials: tuple[str, bytes] | None
) -> None:
    assert read_credentials(header) == credentials
