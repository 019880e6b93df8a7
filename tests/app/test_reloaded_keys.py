"""Every key of the configuration: a reload takes it over, or is refused and says why."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from exporter.app.program import Exporter
from exporter.catalogue import ExtraPort
from exporter.config import Config, DiscoveryConfig, KubernetesConfig, LogConfig, WebConfig
from exporter.model import Role

BEFORE = Config(
    discovery=DiscoveryConfig(kubernetes=KubernetesConfig(enabled=False)),
    web=WebConfig(listen_address="127.0.0.1:0"),
)
REFUSED = {"web.listen_address", "web.telemetry_path", "web.config_file"}
OTHER: dict[str, object] = {
    "access.loopback": "netns",
    "discovery.kubernetes.roles": (Role.ISTIOD,),
    "discovery.static.files": ("targets.yaml",),
    "istiod.mode": "none",
    "log.format": "json",
    "log.level": "debug",
    "metrics.disabled_families": ("istio_port_up",),
    "metrics.profile": "full",
    "ports": (ExtraPort(port=8080, role=Role.SIDECAR),),
}
"""Where another value of the type is not enough."""
TARGETS = "discovery.static.targets"
"""Tested elsewhere: the session hands them over, and keeps none."""


def keys_of(part: Any, before: str = "") -> Iterator[tuple[str, object]]:
    """Each key under a section, and its value."""
    for field in fields(part):
        value = getattr(part, field.name)
        if is_dataclass(value):
            yield from keys_of(value, f"{before}{field.name}.")
        else:
            yield before + field.name, value


def with_key(part: Any, key: str, value: object) -> Any:
    name, _, rest = key.partition(".")
    return replace(part, **{name: with_key(getattr(part, name), rest, value) if rest else value})


def another(key: str, value: Any) -> object:
    if key in OTHER:
        return OTHER[key]
    if isinstance(value, bool):
        return not value
    return value + {str: "x", tuple: ("x",)}.get(type(value), 1)


@asynccontextmanager
async def serving(
    folder: Path, named: list[Config], logged: list[LogConfig]
) -> AsyncIterator[tuple[Exporter, str]]:
    exporter = Exporter(lambda: named[-1], folder, start_logging=logged.append)
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(exporter.run(address.set_result))
    yield exporter, f"http://{await address}"
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_each_is_taken_over_or_refused(tmp_path: Path) -> None:
    await asyncio.to_thread((tmp_path / "targets.yaml").write_text, "[]")
    named, logged = [BEFORE], list[LogConfig]()
    async with serving(tmp_path, named, logged) as (exporter, _):
        for key, value in keys_of(BEFORE):
            if key == TARGETS:
                continue
            named[:] = [with_key(BEFORE, key, another(key, value))]
            assert named != [BEFORE], key
            session = exporter.session
            wrong = await exporter.reload()
            if key in REFUSED:
                assert wrong == f"{key}: is {value or 'none'} until a restart"
                assert exporter.session is session
                continue
            assert wrong is None, key
            assert exporter.session.config == named[0]
            assert logged[-1] == named[0].log


@pytest.mark.parametrize(
    ("key", "value", "asks"),
    [
        ("enable_reload", True, lambda client, url: client.post(f"{url}/-/reload")),
        ("runbook_url", "https://wiki", lambda client, url: client.get(f"{url}/api/v1/summary")),
        (
            "probe_unknown_targets",
            True,
            lambda client, url: client.get(f"{url}/probe?target=127.0.0.9"),
        ),
    ],
)
async def test_what_is_served_changes_with_it(
    tmp_path: Path, key: str, value: object, asks: Callable[..., Any]
) -> None:
    named = [BEFORE]
    async with (
        serving(tmp_path, named, []) as (exporter, url),
        aiohttp.ClientSession() as client,
    ):
        answers = []
        for web in (BEFORE.web, replace(BEFORE.web, **{key: value})):  # type: ignore[arg-type]
            named[:] = [replace(BEFORE, web=web)]
            assert await exporter.reload() is None
            async with asks(client, url) as answer:
                answers.append((answer.status, await answer.text()))
        assert answers[0] != answers[1]
        assert answers[1][0] == 200
