"""Who is given the debug token, and whose certificates are the mesh's."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporter.config import Config, IstiodConfig
from exporter.discovery.pod_documents import decode_pod
from exporter.discovery.pods import targets_of_pod
from exporter.model import Cadence, IstiodFacts, Outcome, Role, Target, TargetKey, TlsFacts
from exporter.poll.plan import plan_of
from exporter.probes.attempt import MeshTrust, ProbeOptions
from exporter.probes.probers import probe
from tests.probes.mesh import MeshAuthority

CANARY = "eyJcanary.s3cret.t0ken"
ISTIOD_NAME = "istiod.istio-system.svc"


def always_named(_address: str) -> bool:
    return True


@pytest.fixture
def mesh(tmp_path: Path) -> MeshAuthority:
    return MeshAuthority(tmp_path / "mesh")


@pytest.fixture
def stranger(tmp_path: Path) -> MeshAuthority:
    return MeshAuthority(tmp_path / "stranger")


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(CANARY + "\n")
    return file


@pytest.fixture
def ask(
    serve: Any, listen: Any, attempt_at: Any, answer: Any, mesh: MeshAuthority, token_file: Path
) -> Callable[..., Any]:
    """Ask an istiod whose 15012 speaks TLS with `context`; returns facts and request heads."""

    async def run(context: ssl.SSLContext | None, **given: Any) -> tuple[IstiodFacts, list[bytes]]:
        async def stays(reader: Any, _writer: Any) -> None:
            await reader.read()

        asked: list[bytes] = []
        pages = {"/version": answer(200, b"1.30.0"), "/debug/syncz": answer(200, b"[]")}
        port = await serve(pages, asked)
        secure = await listen(stays, ssl=context) if context else 1
        trust = MeshTrust(str(mesh.root), (ISTIOD_NAME,), str(token_file), secure, (), always_named)
        options = ProbeOptions(trust=replace(trust, **given))
        asking = attempt_at(port, 15014, Role.ISTIOD, due=Cadence, options=options, kind="istiod")
        observed = await probe(asking)
        assert CANARY not in repr(asking) + repr(observed) + repr(options)
        assert observed.outcome is Outcome.OK
        assert isinstance(observed.facts, IstiodFacts)
        return observed.facts, asked

    return run


def with_token(asked: list[bytes]) -> list[bytes]:
    """The paths that were asked for with an Authorization header."""
    return [head.split()[1] for head in asked if b"authorization" in head.lower()]


async def test_an_istiod_that_proved_itself_gets_the_token(ask: Any, mesh: MeshAuthority) -> None:
    facts, asked = await ask(mesh.serving("istiod.istio-system.svc", "istio-pilot.x.svc"))
    assert (facts.syncz, facts.syncz_outcome) == ((), Outcome.OK)
    assert with_token(asked) == [b"/debug/syncz"]
    assert any(f"Authorization: Bearer {CANARY}\r\n".encode() in head for head in asked)


async def test_a_rotated_token_is_taken_at_once(
    ask: Any, mesh: MeshAuthority, token_file: Path
) -> None:
    await ask(mesh.serving(ISTIOD_NAME))
    await asyncio.to_thread(token_file.write_text, "rotated")
    _facts, asked = await ask(mesh.serving(ISTIOD_NAME))
    assert any(b"Authorization: Bearer rotated\r\n" in head for head in asked)


UNPROVEN: dict[str, Callable[[MeshAuthority, MeshAuthority], ssl.SSLContext]] = {
    "another mesh's root": lambda _mesh, stranger: stranger.serving(ISTIOD_NAME),
    "a workload of the mesh": lambda mesh, _stranger: mesh.serving(
        uri="spiffe://cluster.local/ns/istio-system/sa/istiod"
    ),
    "istiod's name in another namespace": lambda mesh, _stranger: mesh.serving(
        "istiod.elsewhere.svc"
    ),
    "a longer name": lambda mesh, _stranger: mesh.serving("istiod.istio-system.svc.evil.example"),
    "an ended certificate": lambda mesh, _stranger: mesh.serving(ISTIOD_NAME, days=-1),
    "its own certificate": lambda mesh, _stranger: mesh.serving(ISTIOD_NAME, signed=False),
}


@pytest.mark.parametrize("context", UNPROVEN.values(), ids=UNPROVEN)
async def test_without_the_right_certificate_on_15012_no_token_is_sent(
    ask: Any, mesh: MeshAuthority, stranger: MeshAuthority, context: Any
) -> None:
    facts, asked = await ask(context(mesh, stranger))
    assert with_token(asked) == []
    assert not any(b"/debug" in head for head in asked)
    assert (facts.syncz, facts.syncz_status) == (None, None)
    assert facts.syncz_outcome is Outcome.TLS_ERROR


NAMED = {
    "nobody has said that discovery is current": ([], 0),
    "the API names another pod by now": ([False], 0),
    "the address went to another pod during the proof": ([True, False], 1),
}


@pytest.mark.parametrize(("answers", "proofs"), NAMED.values(), ids=NAMED)
async def test_without_the_api_naming_the_pod_at_its_address_no_token_is_sent(
    ask: Any, mesh: MeshAuthority, answers: list[bool], proofs: int
) -> None:
    requested: list[str] = []

    def is_named(address: str) -> bool:
        requested.append(address)
        return answers[len(requested) - 1]

    given = {"is_named": is_named} if answers else {"is_named": MeshTrust("").is_named}
    facts, asked = await ask(mesh.serving(ISTIOD_NAME), **given)
    assert not any(b"/debug" in head or b"authorization" in head.lower() for head in asked)
    assert (facts.syncz, facts.syncz_outcome) == (None, None), "no fault of this istiod"
    assert set(requested) <= {"127.0.0.1"}
    assert (len(requested) > 1) is bool(proofs)


async def test_without_tls_on_15012_no_token_is_sent(ask: Any, listen: Any, endings: Any) -> None:
    facts, asked = await ask(None, port=await listen(endings["garbage"]))
    assert with_token(asked) == []
    assert facts.syncz_outcome is Outcome.WRONG_PROTOCOL


async def test_with_15012_closed_no_token_is_sent(ask: Any, unused_tcp_port: int) -> None:
    facts, asked = await ask(None, port=unused_tcp_port)
    assert with_token(asked) == []
    assert facts.syncz_outcome is Outcome.REFUSED


SPOILT = {
    "no token": ("token", None),
    "an empty token": ("token", ""),
    "two lines": ("token", "a\r\nX-Evil: b"),
    "not text": ("token", "t\xf6ken"),
    "no root": ("root", None),
    "a root that is none": ("root", "-----BEGIN CERTIFICATE-----\n!\n"),
}


@pytest.mark.parametrize(("which", "content"), SPOILT.values(), ids=SPOILT)
async def test_without_token_and_root_nothing_is_sent(
    ask: Any, mesh: MeshAuthority, token_file: Path, which: str, content: str | None
) -> None:
    context = mesh.serving(ISTIOD_NAME)
    file = token_file if which == "token" else mesh.root
    file.unlink()
    if content is not None:
        file.write_text(content, encoding="utf-8")
    facts, asked = await ask(context)
    assert with_token(asked) == []
    assert facts.syncz_outcome is Outcome.NO_ACCESS


# --- which target may get it at all --------------------------------------------------------------

CONFIG = Config(istiod=IstiodConfig(debug_token_file="/tokens/debug"))


def istiod_pod(namespace: str = "istio-system", account: str = "istiod") -> bytes:
    metadata = {"name": "istiod-1", "namespace": namespace, "labels": {"app": "istiod"}}
    spec = {"serviceAccountName": account, "containers": [{"name": "discovery"}]}
    status = {"phase": "Running", "podIP": "10.0.0.2"}
    return json.dumps({"metadata": metadata, "spec": spec, "status": status}).encode()


PODS = {
    "istiod": (istiod_pod(), True),
    "a revision of it": (istiod_pod(account="istiod-canary"), True),
    "in another namespace": (istiod_pod(namespace="shop"), False),
    "under another account": (istiod_pod(account="default"), False),
    "under an account that only begins so": (istiod_pod(account="istiodx"), False),
}


@pytest.mark.parametrize(("document", "given"), PODS.values(), ids=PODS)
def test_only_pods_that_the_api_names_may_get_the_token(document: bytes, given: bool) -> None:
    (target,) = targets_of_pod(decode_pod(document), CONFIG)
    trust = plan_of(target, CONFIG).options.trust
    assert bool(trust and trust.token_file) is given


def test_a_namespace_that_is_no_longer_istiods_gets_no_token() -> None:
    (target,) = targets_of_pod(decode_pod(istiod_pod()), CONFIG)
    moved = replace(CONFIG, istiod=replace(CONFIG.istiod, namespaces=("istio-2",)))
    assert target.trusted
    assert plan_of(target, moved).options.trust is None


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ISTIOD])
def test_no_other_role_gets_the_token(role: Role) -> None:
    key = TargetKey("istio-system", "x")
    target = Target(key=key, role=role, addresses=("10.0.0.1",), trusted=True)
    assert plan_of(target, CONFIG).options.trust is None


def test_istiod_by_hand_is_verified_but_gets_no_token() -> None:
    key = TargetKey("istio-system", "istiod")
    target = Target(key=key, role=Role.ISTIOD, addresses=("10.0.0.1",), revision="canary")
    assert plan_of(target, CONFIG).options.trust == MeshTrust(
        root_file="/var/run/secrets/istio/root-cert.pem",
        names=(ISTIOD_NAME, "istiod-canary.istio-system.svc"),
    )


# --- the certificates of 15012 and 15017 ---------------------------------------------------------


@pytest.mark.parametrize(("name", "number"), [("grpc_tls", 15012), ("webhook", 15017)])
@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda _mesh, stranger: stranger.serving(ISTIOD_NAME), "unable to get local issuer"),
        (lambda mesh, _stranger: mesh.serving(ISTIOD_NAME, signed=False), "self-signed"),
        (lambda mesh, _stranger: mesh.serving(ISTIOD_NAME, days=-1), "expired"),
    ],
    ids=["another root", "signed by itself", "ended"],
)
async def test_a_certificate_that_does_not_verify_is_reported_with_its_dates(
    listen: Any,
    attempt_at: Any,
    *,
    mesh: MeshAuthority,
    stranger: MeshAuthority,
    name: str,
    number: int,
    made: Any,
    reason: str,
) -> None:
    async def stays(reader: Any, _writer: Any) -> None:
        await reader.read()

    port = await listen(stays, ssl=made(mesh, stranger))
    options = ProbeOptions(trust=MeshTrust(str(mesh.root)))
    observed = await probe(attempt_at(port, number, Role.ISTIOD, options=options, kind=name))
    assert observed.outcome is Outcome.TLS_ERROR
    assert "the mesh's root" in observed.detail
    assert reason in observed.detail
    assert isinstance(observed.facts, TlsFacts)
    assert observed.facts.certificate is not None
    assert observed.facts.certificate.dns_names == (ISTIOD_NAME,)


async def test_the_meshs_certificate_is_taken(
    serve: Any, attempt_at: Any, answer: Any, mesh: MeshAuthority
) -> None:
    port = await serve({"/ready": answer(200)}, ssl=mesh.serving(ISTIOD_NAME))
    options = ProbeOptions(trust=MeshTrust(str(mesh.root)))
    observed = await probe(attempt_at(port, 15017, Role.ISTIOD, options=options, kind="webhook"))
    assert observed.outcome is Outcome.OK


async def test_without_the_meshs_root_any_certificate_is_taken(
    serve: Any, attempt_at: Any, answer: Any, stranger: MeshAuthority, tmp_path: Path
) -> None:
    port = await serve({"/ready": answer(200)}, ssl=stranger.serving(ISTIOD_NAME))
    options = ProbeOptions(trust=MeshTrust(str(tmp_path / "absent.pem")))
    observed = await probe(attempt_at(port, 15017, Role.ISTIOD, options=options, kind="webhook"))
    assert observed.outcome is Outcome.OK


WEBHOOK_NAMES = {
    "istiod's Service": ((ISTIOD_NAME,), ""),
    "among others": (("istio-pilot.istio-system.svc", ISTIOD_NAME), ""),
    "a configured name": (("injector.example.org",), ""),
    "a name by which the API server calls it": (("called.example.org",), ""),
    "another name": (("istiod.elsewhere.svc",), "istiod.elsewhere.svc"),
    "no name": ((), "no name"),
}


@pytest.mark.parametrize(("names", "said"), WEBHOOK_NAMES.values(), ids=WEBHOOK_NAMES)
async def test_another_name_under_the_meshs_root_is_said_and_no_fault(
    serve: Any, attempt_at: Any, answer: Any, mesh: MeshAuthority, names: Any, said: str
) -> None:
    port = await serve({"/ready": answer(200)}, ssl=mesh.serving(*names))
    expected = MeshTrust(
        str(mesh.root),
        (ISTIOD_NAME,),
        webhook_names=("injector.example.org",),
        called_names=lambda: ("called.example.org",),
    )
    options = ProbeOptions(trust=expected)
    observed = await probe(attempt_at(port, 15017, Role.ISTIOD, options=options, kind="webhook"))
    assert observed.outcome is Outcome.OK
    assert bool(observed.detail) is bool(said)
    assert said in observed.detail
    assert not said or ISTIOD_NAME in observed.detail


async def test_what_is_left_to_a_relay_at_an_address_that_the_api_names(
    ask: Any, listen: Any, mesh: MeshAuthority
) -> None:
    """15014 has no TLS, so 15012's certificate cannot vouch for it: docs/security.md has this."""

    async def stays(reader: Any, _writer: Any) -> None:
        await reader.read()

    genuine = await listen(stays, ssl=mesh.serving(ISTIOD_NAME))

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", genuine)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, ours), pump(theirs, writer))
        await ours.wait_closed()

    relayed = await listen(relay)
    _facts, asked = await ask(None, port=relayed)
    assert with_token(asked) == [b"/debug/syncz"], "in one poll"
    _facts, asked = await ask(None, port=relayed, is_named=MeshTrust("").is_named)
    assert with_token(asked) == [], "not where the API no longer names it there"
