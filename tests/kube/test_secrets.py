"""The whole program with canaries for secrets, through failures, at debug level: none is told."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest
from aiohttp import encode_basic_auth

from tests.kube.server import CANARY, Server, kubeconfig, plugin
from tests.real.kubernetes.authority import Authority
from tests.real.kubernetes.kubeconfig import certificate_user
from tests.real.kubernetes.program import ROOT, Program, serving
from tests.until import until

PATHS = ("/metrics", "/", "/api/v1/targets", "/api/v1/summary", "/api/v1/matrix", "/api/v1/ports")
PASSWORD = f"password-{CANARY}"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()

User = Callable[[Authority, Server], dict[str, Any]]


def token(_authority: Authority, server: Server) -> dict[str, Any]:
    """A token that ended; the API server's refusal echoes it."""
    server.tokens = set()
    return {"token": CANARY}


def token_for_nobody(_authority: Authority, server: Server) -> dict[str, Any]:
    """Nobody listens where the API server was."""
    server.port = 1
    return {"token": CANARY}


def failing_plugin(authority: Authority, _server: Server) -> dict[str, Any]:
    """It writes what it knows, and fails."""
    body = f"print('{CANARY}'); sys.stderr.write('{CANARY}'); sys.exit(1)"
    return {"exec": plugin(authority.folder, body)}


def broken_key(authority: Authority, _server: Server) -> dict[str, Any]:
    """The key's file is damaged."""
    certificate, key = authority.issue("me")
    key.write_text(key.read_text().replace("KEY-----\n", f"KEY-----\n{CANARY}", 1))
    return certificate_user(certificate, key)


CASES: dict[str, tuple[User, str]] = {
    "401": (token, "who is Bearer [secret]?"),
    "refused": (token_for_nobody, "no response from https://127.0.0.1:1"),
    "plugin": (failing_plugin, "its exec plugin gave no credentials"),
    "key": (broken_key, "cannot be used: [SSL]"),
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def failing(
    request: pytest.FixtureRequest, authority: Authority, server: Server
) -> tuple[str, str]:
    """A kubeconfig that does not work, and how that is said."""
    user, said = request.param
    fields = user(authority, server)
    return kubeconfig(authority, server, **fields), said


async def test_check_prints_no_secret(failing: tuple[str, str]) -> None:
    path, said = failing
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exporter", "check"),
        *("--kubeconfig", path, "--log.level", "debug"),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 3
    assert said.casefold() in output.decode().casefold()
    assert CANARY not in output.decode()


async def test_serve_exposes_and_logs_no_secret(failing: tuple[str, str], tmp_path: Path) -> None:
    path, said = failing
    users = tmp_path / "web.yml"
    users.write_text(f"basic_auth_users: {{alice: '{HASH}'}}\n")
    config = {
        "log": {"level": "debug"},
        "web": {"config_file": str(users), "enable_reload": True},
    }
    async with serving(tmp_path, config, KUBECONFIG=path) as program:
        await until(lambda: said in program.log.read_text(), said)
        told = await pages(program, "alice", PASSWORD)
        told += await pages(program, "alice", f"wrong-{CANARY}", status=401)
        users.write_text(f"basic_auth_users: {{alice: '{PASSWORD}'}}\n")
        told += await post(program, "/-/reload")
        (tmp_path / "exporter.yaml").write_text(f"web: {{password: {CANARY}\n")
        told += await post(program, "/-/reload")
    log = program.log.read_text()
    for secret in (CANARY, HASH):
        assert secret not in told
        assert secret not in log


async def pages(program: Program, user: str, password: str, status: int = 200) -> str:
    """Everything that the web server says to this user, headers too."""
    told = []
    headers = {"Authorization": encode_basic_auth(user, password)}
    async with aiohttp.ClientSession(headers=headers) as session:
        for path in PATHS:
            async with session.get(f"http://{program.address}{path}") as answer:
                assert answer.status == status
                told.append(f"{answer.headers}\n{await answer.text()}")
    return "\n".join(told)


async def post(program: Program, path: str) -> str:
    """The answer to a reload that has to fail."""
    headers = {"Authorization": encode_basic_auth("alice", PASSWORD)}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"http://{program.address}{path}") as answer,
    ):
        assert answer.status >= 400
        return f"{answer.headers}\n{await answer.text()}"
