"""Pods of which every container is as full as it can be: none holds the event loop."""

import json
from itertools import product
from typing import Any

import pytest

from exporter.bounds import CONTAINERS, OBJECT
from exporter.config import Config
from exporter.discovery.classified_pods import classify_pod, unfiltered
from exporter.discovery.command_lines import starts
from exporter.discovery.pod_documents import decode_pod
from tests.cpu_time import LIMIT, seconds

ROOM = OBJECT // CONTAINERS - 400
"""Bytes of one of so many containers."""


def script(word: str) -> dict[str, Any]:
    return {"command": ["sh", "-c", word * (ROOM // len(json.dumps(word)[1:-1]))]}


FILLED: dict[str, dict[str, Any]] = {
    "a script": script("a "),
    "a script of variables": script("$A "),
    "a script that nearly writes rules": script("xistio-iptables "),
    "a script of quotes": script("'\"'\" "),
    "arguments": {"args": ["a"] * (ROOM // 4)},
    "arguments that nearly write rules": {"args": ["istio-iptablesx"] * (ROOM // 18)},
    "flags": {"args": [f"--f{number}=a" for number in range(ROOM // 12)]},
    "variables": {
        "env": [{"name": f"A{number}", "value": "$(A0)"} for number in range(ROOM // 35)],
        "args": ["$(A0)"] * 50,
    },
    "ports": {"ports": [{"containerPort": number} for number in range(1, ROOM // 24)]},
}
NAMES = {
    "init": "init-{}",
    "init of one name": "istio-init",
    "proxies": "istio-proxy",
    "proxies of other names": "istio-proxy-{}",
    "node agents": "install-cni-v{}",
}


def document(filled: dict[str, Any], name: str, *, native: bool) -> dict[str, Any]:
    policy = {"restartPolicy": "Always"} if native else {}
    rows = [
        {"name": name.format(number), "image": "linkerd/a:1", **policy, **filled}
        for number in range(CONTAINERS - 1)
    ]
    proxy = {"name": "istio-proxy", "image": "proxyv2", "args": ["proxy", "sidecar"]}
    is_init = native or "init" in name
    spec = {"containers": [proxy], "initContainers": rows} if is_init else {"containers": rows}
    metadata = {"name": "web", "namespace": "shop"}
    return {"metadata": metadata, "spec": spec, "status": {"podIP": "10.0.0.1"}}


@pytest.mark.parametrize("filled", FILLED.values(), ids=FILLED)
@pytest.mark.parametrize(("name", "native"), [*product(NAMES.values(), [False, True])])
def test_full_containers_do_not_hold_the_event_loop(
    filled: dict[str, Any], name: str, native: bool
) -> None:
    text = json.dumps(document(filled, name, native=native), separators=(",", ":")).encode()
    assert len(text) <= OBJECT
    config = Config()
    every = unfiltered(config)
    assert seconds(lambda: classify_pod(decode_pod(text), config, every)) < LIMIT


@pytest.mark.parametrize("templates", [",", "gateway", "a,"])
def test_a_list_of_templates_without_end(templates: str) -> None:
    """On the placeholder of a gateway, to which the injector has not been."""
    proxies = [{"name": "istio-proxy", "image": "auto"}, {"name": "a"}]
    annotations = {"inject.istio.io/templates": templates * (OBJECT // len(templates) // 2)}
    metadata = {"name": "web", "annotations": annotations}
    text = json.dumps({"metadata": metadata, "spec": {"containers": proxies}}).encode()
    config = Config()
    every = unfiltered(config)
    assert seconds(lambda: classify_pod(decode_pod(text), config, every)) < LIMIT


@pytest.mark.parametrize("shell", [(), ("sh", "-c"), ("/bin/bash", "-ec")])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("istio-iptables", True),
        ("/usr/local/bin/istio-iptables", True),
        ("/usr/local/bin/istio-iptables.sh", True),
        ("xistio-iptables", False),
        ("istio-iptables-x", False),
        ("/istio-iptables/x", False),
        ("istio-clean-iptables", False),
        ("", False),
    ],
)
def test_a_program_is_found_by_its_name_or_path(
    shell: tuple[str, ...], text: str, expected: bool
) -> None:
    assert starts("istio-iptables", shell, (text,)) is expected
    assert starts("istio-iptables", (*shell, text), ("-p", "15001")) is expected
    if shell:
        for script in (f"sleep 1; exec {text} -p 1", f'"{text}" && a', f"a\n{text}"):
            assert starts("istio-iptables", shell, (script,)) is expected
