"""A real API server's way to an injection webhook: open, down, silent, refused, distrusted."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientSession, web

from exporter.app.program import Exporter
from exporter.config import Config, DryRunConfig, IstiodConfig, load
from exporter.control_plane.webhook_dry_run import WebhookDryRun
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import load_kubeconfig
from exporter.model import Outcome, WebhookPath
from exporter.tls_contexts import server_context
from tests.real.kubernetes.authority import Authority
from tests.real.kubernetes.client import Admin
from tests.real.kubernetes.control_plane import ControlPlane
from tests.real.kubernetes.kubeconfig import write_kubeconfig
from tests.real.kubernetes.roles import DISCOVERY_RULES, cluster_role

pytestmark = pytest.mark.kubernetes

ADD_SIDECAR = [
    {"op": "add", "path": "/spec/containers/-", "value": {"name": "istio-proxy", "image": "x"}}
]
CREATE_PODS = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}]


async def inject(request: web.Request) -> web.Response:
    """Answer as istiod's /inject does: a patch that adds the sidecar."""
    review = await request.json()
    patch = base64.b64encode(json.dumps(ADD_SIDECAR).encode()).decode()
    response = {"uid": review["request"]["uid"], "allowed": True}
    review["response"] = {**response, "patchType": "JSONPatch", "patch": patch}
    return web.json_response(review)


async def fail(_request: web.Request) -> web.Response:
    return web.Response(status=503)


async def hang(_request: web.Request) -> web.Response:
    await asyncio.sleep(60)
    raise web.HTTPServiceUnavailable


ProbeResult = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def webhook(authority: Authority, answer: ProbeResult) -> AsyncIterator[str]:
    """A webhook on loopback; its address."""
    context = server_context()
    context.load_cert_chain(*await asyncio.to_thread(authority.issue, "webhook"))
    application = web.Application()
    application.router.add_post("/inject", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}/inject"
    finally:
        await runner.cleanup()


def configuration(
    corner: str, url: str, root: Path, name: str = "rev.namespace.sidecar-injector.istio.io"
) -> dict[str, Any]:
    """istiod's webhook configuration, but for one namespace and by an address."""
    bundle = base64.b64encode(root.read_bytes()).decode()
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"]}
    hook = {
        "name": name,
        "clientConfig": {"url": url, "caBundle": bundle},
        "rules": [{**rule, "resources": ["pods"]}],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": corner}},
        "objectSelector": {"matchLabels": {"sidecar.istio.io/inject": "true"}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Fail",
        "timeoutSeconds": 1,
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": f"istio-sidecar-injector-{corner}"},
        "webhooks": [hook],
    }


class Tried:
    """What dry runs showed, and what they asked the API server for."""

    def __init__(self) -> None:
        self.shown: asyncio.Queue[WebhookPath | None] = asyncio.Queue()
        self.requested: list[tuple[str, str, str]] = []

    async def next(self) -> WebhookPath:
        async with asyncio.timeout(20):
            path = await self.shown.get()
        assert path is not None
        return path


@contextlib.asynccontextmanager
async def trying(
    plane: ControlPlane, token: str, corner: str, folder: Path
) -> AsyncIterator[Tried]:
    """A dry run that goes on in the corner, with the rights of a token."""
    file = folder / "kubeconfig"
    root = plane.authority.root
    await asyncio.to_thread(write_kubeconfig, file, plane.url, root, token=token)
    tried = Tried()
    chosen = DryRunConfig(enabled=True, namespace=corner)
    config = Config(istiod=IstiodConfig(webhook_dry_run=chosen))
    metrics: Any = SimpleNamespace(asked_kubernetes=lambda *what: tried.requested.append(what))
    runs = WebhookDryRun(tried.shown.put_nowait, metrics)
    async with KubernetesClient(lambda: load_kubeconfig(str(file))) as api:
        running = asyncio.create_task(runs.run(api, config))
        try:
            yield tried
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
    assert runs.last is None, "what was shown is forgotten with the end"


@pytest.fixture
async def token(admin: Admin, corner: str) -> str:
    """A service account that may create pods, and nothing else."""
    token = await admin.service_account_token(corner, "exporter")
    await admin.apply(*cluster_role(f"dry-run-{corner}", CREATE_PODS, (corner, "exporter")))
    return token


@pytest.fixture
async def webhooks(admin: Admin, corner: str) -> AsyncIterator[Callable[..., Awaitable[None]]]:
    """Put a webhook configuration for the corner in place; it is taken away afterwards."""
    applied: list[dict[str, Any]] = []

    async def apply(url: str, root: Path, **given: str) -> None:
        document = configuration(corner, url, root, **given)
        await admin.apply(document)
        applied.append(document)

    yield apply
    for document in applied:
        await admin.delete(document)


First = Callable[[Callable[[WebhookPath], bool]], Awaitable[WebhookPath]]


@pytest.fixture
def first(control_plane: ControlPlane, token: str, corner: str, tmp_path: Path) -> First:
    """Try until a configuration of webhooks is in force, which takes the API server a moment."""

    async def run(is_wanted: Callable[[WebhookPath], bool]) -> WebhookPath:
        async with asyncio.timeout(30):
            while True:
                async with trying(control_plane, token, corner, tmp_path) as tried:
                    if is_wanted(path := await tried.next()):
                        return path
                await asyncio.sleep(0.1)

    return run


def is_judged(path: WebhookPath) -> bool:
    return path.up is not None


async def test_an_injected_pod_proves_the_way_and_is_never_there(
    control_plane: ControlPlane, admin: Admin, corner: str, webhooks: Any, first: First
) -> None:
    async with webhook(control_plane.authority, inject) as url:
        await webhooks(url, control_plane.authority.root)
        assert await first(is_judged) == WebhookPath(up=True, outcome=Outcome.OK, detail="")
    assert (await admin.get(f"/api/v1/namespaces/{corner}/pods"))["items"] == []
    user = f"system:serviceaccount:{corner}:exporter"
    accesses = {(access.verb, access.resource) for access in control_plane.accesses(user)}
    assert accesses == {("create", "pods")}


async def test_a_webhook_that_is_down_is_refused(
    control_plane: ControlPlane, webhooks: Any, first: First, unused_tcp_port: int
) -> None:
    url = f"https://127.0.0.1:{unused_tcp_port}/inject"
    await webhooks(url, control_plane.authority.root)
    path = await first(is_judged)
    assert (path.up, path.outcome) == (False, Outcome.REFUSED)
    assert "connection refused" in path.detail


WAYS = {"silent": (hang, Outcome.TIMEOUT), "failing": (fail, Outcome.HTTP_ERROR)}


@pytest.mark.parametrize(("answer", "outcome"), WAYS.values(), ids=WAYS)
async def test_a_webhook_that_does_not_inject_is_judged_by_its_failure(
    control_plane: ControlPlane, webhooks: Any, first: First, answer: ProbeResult, outcome: Outcome
) -> None:
    async with webhook(control_plane.authority, answer) as url:
        await webhooks(url, control_plane.authority.root)
        path = await first(is_judged)
    assert (path.up, path.outcome) == (False, outcome)


async def test_a_bundle_of_another_root_is_a_tls_error(
    control_plane: ControlPlane, webhooks: Any, first: First, tmp_path: Path
) -> None:
    stranger = await asyncio.to_thread(Authority, tmp_path)
    async with webhook(control_plane.authority, inject) as url:
        await webhooks(url, stranger.root)
        path = await first(is_judged)
    assert (path.up, path.outcome) == (False, Outcome.TLS_ERROR)
    assert "x509" in path.detail


async def test_another_webhook_that_fails_first_proves_nothing(
    control_plane: ControlPlane, webhooks: Any, first: First, unused_tcp_port: int
) -> None:
    url = f"https://127.0.0.1:{unused_tcp_port}/inject"
    await webhooks(url, control_plane.authority.root, name="mutate.policies.example")
    path = await first(lambda path: "another webhook" in path.detail)
    assert (path.up, path.outcome) == (None, Outcome.NO_ACCESS)
    assert "mutate.policies.example" in path.detail


async def test_without_an_injector_or_the_right_nothing_is_shown(
    control_plane: ControlPlane, admin: Admin, corner: str, first: First, tmp_path: Path
) -> None:
    path = await first(lambda _path: True)
    assert (path.up, path.outcome) == (None, Outcome.NO_ACCESS)
    assert "no webhook injected the pod" in path.detail
    stranger = await admin.service_account_token(corner, "stranger")
    async with trying(control_plane, stranger, corner, tmp_path) as tried:
        path = await tried.next()
    assert (path.up, path.outcome) == (None, Outcome.NO_ACCESS)
    assert "cannot create resource" in path.detail
    assert tried.requested == [("create", "pods", "403")]
    assert stranger not in repr(path)


EXPORTER = """
discovery: {kubernetes: {namespaces: [%s]}}
poll: {interval: 300ms, detail_interval: 300ms, timeout: 200ms}
istiod: {webhook_dry_run: {enabled: true, namespace: %s}}
web: {listen_address: "127.0.0.1:0"}
"""
UP, OUTCOME = "istio_control_plane_webhook_path_up", "istio_control_plane_webhook_path_outcome"


@contextlib.asynccontextmanager
async def exporting(
    plane: ControlPlane, token: str, corner: str, folder: Path
) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """A whole exporter with the rights of a token; how to read its page."""
    kubeconfig, file = folder / "kubeconfig", folder / "exporter.yaml"
    root = plane.authority.root
    await asyncio.to_thread(write_kubeconfig, kubeconfig, plane.url, root, token=token)
    await asyncio.to_thread(file.write_text, EXPORTER % (corner, corner))
    credentials = lambda: load_kubeconfig(str(kubeconfig))  # noqa: E731
    exporter = Exporter(lambda: load(file), folder, find_credentials=lambda: credentials)
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(exporter.run(address.set_result))
    where = await address

    async def page() -> str:
        async with ClientSession() as session, session.get(f"http://{where}/metrics") as answer:
            return await answer.text()

    try:
        yield page
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def page_shows(page: Callable[[], Awaitable[str]], *lines: str) -> None:
    """Wait until the page has these lines."""
    async with asyncio.timeout(30):
        while not set(lines) <= set((await page()).splitlines()):  # noqa: ASYNC110 - over HTTP
            await asyncio.sleep(0.1)


async def test_an_exporter_exposes_the_path_to_the_webhook_and_its_loss(
    control_plane: ControlPlane,
    admin: Admin,
    corner: str,
    webhooks: Any,
    token: str,
    tmp_path: Path,
) -> None:
    rules = cluster_role(f"watch-{corner}", DISCOVERY_RULES, (corner, "exporter"))
    await admin.apply(*rules)
    async with exporting(control_plane, token, corner, tmp_path) as page:
        await page_shows(page, f'{OUTCOME}{{revision="",outcome="no_access"}} 1')
        assert UP + "{" not in await page()
        async with webhook(control_plane.authority, inject) as url:
            await webhooks(url, control_plane.authority.root)
            await page_shows(page, f'{UP}{{revision=""}} 1')
            assert OUTCOME + "{" not in await page()
        await page_shows(
            page, f'{UP}{{revision=""}} 0', f'{OUTCOME}{{revision="",outcome="refused"}} 1'
        )
        requested = "istio_port_exporter_kubernetes_requests_total"
        await page_shows(page, 'istio_port_exporter_capability{capability="webhook_dry_run"} 1.0')
        assert f'{requested}{{code="201",resource="pods",verb="create"}}' in await page()
        assert token not in await page()
