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
    for name, word in (("alice", "wrong"), ("mallory", "wrong"), ("mallory", "wronger")):
        assert not await gatekeeper.verify(known, encode_basic_auth(name, word))
    costs = [hashed.split(b"$")[2] for hashed, _ in checked]
    assert costs == [b"04", b"04", b"04"]
    assert checked[1][0] != HASHED.encode()


def flood(
    gatekeeper: PasswordChecker, known: dict[str, str], count: int, client: str = "tenant"
) -> list[asyncio.Task[bool]]:
    """So many guesses at once."""
    return [
        asyncio.create_task(
            gatekeeper.verify(known, encode_basic_auth("alice", f"{client} {index}"), client)
        )
        for index in range(count)
    ]


async def test_a_flood_of_guesses_is_turned_away_but_not_who_was_right_before(
    gatekeeper: PasswordChecker,
) -> None:
    known = {"alice": HASHED}
    assert await gatekeeper.verify(known, GOOD)
    guesses = flood(gatekeeper, known, passwords.MAX_WAITING + 1)
    await asyncio.sleep(0)
    with pytest.raises(TooManyChecksError):
        await gatekeeper.verify(known, encode_basic_auth("alice", "one more"), "tenant")
    assert await gatekeeper.verify(known, GOOD)
    assert await asyncio.gather(*guesses) == [False] * len(guesses)


@pytest.mark.parametrize("client", ["tenant", "prometheus"])
async def test_a_right_password_that_nobody_knows_yet_is_never_turned_away(
    gatekeeper: PasswordChecker, client: str
) -> None:
    known = {"alice": HASHED}
    guesses = flood(gatekeeper, known, passwords.MAX_WAITING)
    await asyncio.sleep(0)
    assert await gatekeeper.verify(known, GOOD, client)
    assert (client == "tenant") == all(guess.done() for guess in guesses)
    await asyncio.gather(*guesses)


async def test_who_guessed_wrong_waits_behind_everybody_else(gatekeeper: PasswordChecker) -> None:
    known, ended = {"alice": HASHED}, []
    assert not await gatekeeper.verify(known, encode_basic_auth("alice", "wrong"), "tenant")
    guesses = flood(gatekeeper, known, 20)
    await asyncio.sleep(0)
    others = [task for name in "abc" for task in flood(gatekeeper, known, 3, name)]
    for task in (*guesses, *others):
        task.add_done_callback(ended.append)
    await asyncio.gather(*guesses, *others)
    assert set(ended[1:10]) == set(others)


async def test_a_password_that_was_wrong_is_not_checked_again(
    gatekeeper: PasswordChecker, checked: list[tuple[bytes, str]]
) -> None:
    stale = encode_basic_auth("alice", "last year's")
    for _ in range(3):
        assert not await gatekeeper.verify({"alice": HASHED}, stale)
    assert len(checked) == 1
    changed = bcrypt.hashpw(b"last year's", bcrypt.gensalt(4)).decode()
    assert await gatekeeper.verify({"alice": changed}, stale)


async def test_one_password_that_many_bring_at_once_is_checked_once(
    gatekeeper: PasswordChecker, checked: list[tuple[bytes, str]]
) -> None:
    results = await asyncio.gather(
        *(gatekeeper.verify({"alice": HASHED}, GOOD, str(number)) for number in range(100))
    )
    assert results == [True] * 100
    assert len(checked) == 1


async def test_a_password_is_remembered_although_its_client_went_away(
    gatekeeper: PasswordChecker, checked: list[tuple[bytes, str]]
) -> None:
    asking = asyncio.create_task(gatekeeper.verify({"alice": HASHED}, GOOD))
    await asyncio.sleep(0)
    asking.cancel()
    assert await gatekeeper.verify({"alice": HASHED}, GOOD)
    assert len(checked) == 1


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


async def test_without_a_thread_nobody_is_judged_wrong() -> None:
    keeper = PasswordChecker()
    keeper.close()  # no thread is started any more, as where the system allows no other
    users = {"alice": bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4)).decode()}
    for _ in range(3):
        with pytest.raises(TooManyChecksError):
            await keeper.verify(users, GOOD, "10.0.0.1")
