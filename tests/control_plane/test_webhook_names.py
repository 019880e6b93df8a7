"""The names by which the API server calls the injection webhook, from its configurations."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config import Config, IstiodConfig, PollConfig
from exporter.control_plane.webhook_names import CONFIGURATIONS, WebhookNames, names_of
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import Credentials
from exporter.kube.object_reader import ObjectReader

CONFIG = Config(
    istiod=IstiodConfig(read_webhook_names=True),
    poll=PollConfig(interval=0.01, detail_interval=0.01),
)
INJECTOR = "rev.namespace.sidecar-injector.istio.io"


def configuration(*webhooks: dict[str, Any], name: str = "istio-sidecar-injector") -> Any:
    return {"metadata": {"name": name}, "webhooks": list(webhooks)}


def service(name: str, namespace: str, webhook: str = INJECTOR) -> dict[str, Any]:
    called = {"service": {"name": name, "namespace": namespace, "path": "/inject"}}
    return {"name": webhook, "clientConfig": called}


def url(text: str) -> dict[str, Any]:
    return {"name": INJECTOR, "clientConfig": {"url": text}}


def read(document: Any) -> tuple[str, ...]:
    return names_of(json.dumps(document).encode())


def test_a_service_has_its_name_in_the_cluster_and_an_address_its_host() -> None:
    document = configuration(
        service("istiod-1-30", "mesh"), url("https://istiod.example:15017/inject")
    )
    assert read(document) == ("istiod-1-30.mesh.svc", "istiod.example")


def test_other_webhooks_count_for_nothing() -> None:
    assert read(configuration(service("policy", "kyverno", "mutate.kyverno.svc"))) == ()


@pytest.mark.parametrize("text", ["", "https://[::1", "istiod", "https://" + "x" * 300])
def test_an_address_that_is_none_has_no_name(text: str) -> None:
    assert read(configuration(url(text))) == ()


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(("webhooks", "name", "clientConfig", "service", "url")), inner
            )
        ),
    )
)
def test_any_object_is_read_or_left_out(document: Any) -> None:
    names = ObjectReader().read("x", json.dumps(document).encode(), names_of)
    assert names is None or all(isinstance(name, str) for name in names)


@contextlib.asynccontextmanager
async def reading(cluster: Any, refused: list[str]) -> AsyncIterator[WebhookNames]:
    async def load() -> Credentials:
        return Credentials(cluster.address)

    metrics: Any = SimpleNamespace(asked_kubernetes=lambda *_: None, refused_object=refused.append)
    names = WebhookNames(metrics)
    async with KubernetesClient(load) as api:
        task = asyncio.create_task(names.run(api, CONFIG))
        try:
            yield names
        finally:
            task.cancel()
            await asyncio.wait({task})


async def until_names(names: WebhookNames, *expected: str) -> None:
    async with asyncio.timeout(5):
        while names.names != expected:  # noqa: ASYNC110 - the code under test has no event for it
            await asyncio.sleep(0.005)


async def test_names_follow_the_configurations_and_outlive_a_refusal(cluster: Any) -> None:
    refused: list[str] = []
    objects = cluster.objects[CONFIGURATIONS.path] = {
        "a": configuration(service("istiod", "mesh")),
        "b": configuration({"name": 5}, name="odd"),
    }
    async with reading(cluster, refused) as names:
        await until_names(names, "istiod.mesh.svc")
        cluster.refusals.append((403, {}, '{"message": "no"}'))
        objects["a"] = configuration(service("istiod-canary", "mesh"))
        await until_names(names, "istiod-canary.mesh.svc")
    assert names.names == ()
    assert set(refused) == {CONFIGURATIONS.name}
