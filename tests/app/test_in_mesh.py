"""Whether the exporter is in the mesh: its pod's document, or who accepts where nobody can be."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.app.in_mesh import is_mesh_pod, own_pod
from exporter.discovery.pod_documents import decode_pod
from exporter.discovery.pods import targets_of_pod
from exporter.model import TargetKey
from tests.real.network import run

OWN = "10.77.3.4"
REDIRECTED = "-A OUTPUT -p tcp {to} -j REDIRECT --to-ports 15001"
ASK = """
import asyncio, sys
from exporter.app.in_mesh import is_in_mesh
async def main():
    for place in sys.argv[1:]:
        address, _, port = place.rpartition(":")
        await asyncio.start_server(lambda r, w: None, address, int(port))
    print(await is_in_mesh())
asyncio.run(main())
"""
PROXY = ["0.0.0.0:15001", "0.0.0.0:15006"]

PLACES = {
    "a sidecar, or ztunnel, takes everything": (
        PROXY,
        REDIRECTED.format(to="! -d 127.0.0.1/32"),
        True,
    ),
    "a sidecar takes the pod network only": (PROXY, REDIRECTED.format(to="-d 10.77.0.0/16"), True),
    "a port-forward of 15021": (["127.0.0.1:15021"], "", False),
    "a port-forward of ambient's 15008": (["127.0.0.1:15008"], "", False),
    "a gateway on the same host": (["0.0.0.0:15021", "0.0.0.0:15001"], "", False),
    "captured pods nearby accept on any port": (
        ["127.0.0.1:15021", "0.0.0.0:15001"],
        REDIRECTED.format(to="-d 10.77.3.0/25"),
        False,
    ),
    "nothing at all": ([], "", False),
}


@pytest.fixture
def namespace() -> Iterator[str]:
    """A network namespace with a way out on which nobody answers."""
    name = f"ipe-own-{os.getpid()}"
    run("ip", "netns", "add", name)
    try:
        for command in (
            "link set lo up",
            "link add eth0 type veth peer name eth1",
            "link set eth0 arp off",
            "link set eth1 up",
            "link set eth0 up",
            f"addr add {OWN}/16 dev eth0",
            "route add default dev eth0",
        ):
            run("ip", "-n", name, *command.split())
        yield name
    finally:
        run("ip", "netns", "del", name)


@pytest.mark.real
@pytest.mark.parametrize(("listening", "rule", "in_mesh"), PLACES.values(), ids=PLACES)
def test_only_what_accepts_where_nobody_is_means_in_the_mesh(
    namespace: str, listening: list[str], rule: str, *, in_mesh: bool
) -> None:
    inside = ("ip", "netns", "exec", namespace)
    if rule:
        run(*inside, "iptables-restore", text=f"*nat\n:OUTPUT ACCEPT [0:0]\n{rule}\nCOMMIT\n")
    assert run(*inside, sys.executable, "-c", ASK, *listening).strip() == str(in_mesh)


PROXIED = b"""{"metadata": {"name": "exporter-1", "namespace": "monitoring", "annotations": {%s}},
 "spec": {"hostNetwork": %s, "containers": [{"name": "exporter"},
 {"name": "istio-proxy", "args": ["proxy", "sidecar"]}]}, "status": {"podIP": "10.0.0.1"}}"""
PLAIN = PROXIED.replace(b',\n {"name": "istio-proxy", "args": ["proxy", "sidecar"]}', b"")
STATUS = b'"sidecar.istio.io/status": "{}"'

DOCUMENTS = {
    "injected": (PROXIED % (STATUS, b"false"), True),
    "injected, on the host's network": (PROXIED % (STATUS, b"true"), False),
    "enrolled in ambient": (
        PLAIN % (b'"ambient.istio.io/redirection": "enabled"', b"false"),
        True,
    ),
    "to be enrolled": (PLAIN % (b'"ambient.istio.io/redirection": "pending"', b"false"), False),
    "neither": (PLAIN % (b"", b"false"), False),
}


@pytest.mark.parametrize(("document", "in_mesh"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_the_document_of_our_own_pod_decides(document: bytes, *, in_mesh: bool) -> None:
    found = next(iter(targets_of_pod(decode_pod(document))), None)
    assert is_mesh_pod(found) is in_mesh


def test_our_own_pod_has_the_name_that_the_chart_or_kubernetes_gives(tmp_path: Path) -> None:
    file = tmp_path / "namespace"
    assert own_pod({"HOSTNAME": "laptop"}, file) is None
    file.write_text("monitoring\n")
    assert own_pod({"HOSTNAME": "exporter-1"}, file) == TargetKey("monitoring", "exporter-1")
    named = {"HOSTNAME": "node-1", "POD_NAME": "exporter-1"}
    assert own_pod(named, file) == TargetKey("monitoring", "exporter-1")
    assert own_pod({}, file) is None
