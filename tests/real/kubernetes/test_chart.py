"""A real API server takes what the chart renders, and holds its pods to their security level."""

from pathlib import Path

import pytest

from tests.charts.render import Document, ci_files, pod_specs, render, values_of
from tests.real.kubernetes.client import Admin, RefusedError
from tests.real.kubernetes.pods import namespace

pytestmark = pytest.mark.kubernetes

FILES = pytest.mark.parametrize("file", ci_files(), ids=lambda file: file.stem)
OPERATOR = "monitoring.coreos.com/"
"""The Prometheus operator's kinds, which a bare API server does not know."""
LEVEL = "pod-security.kubernetes.io/enforce"


async def leveled(admin: Admin, level: str) -> str:
    """A namespace that demands a pod security level."""
    wanted = namespace(f"level-{level}")
    wanted["metadata"]["labels"] = {LEVEL: level}
    await admin.apply(wanted)
    return f"level-{level}"


def pod_of(spec: Document, where: str) -> Document:
    """A pod as the workload's controller would make it."""
    metadata = {"namespace": where, "name": "exporter-0"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@FILES
async def test_every_object_is_taken_to_the_last_field(admin: Admin, file: Path) -> None:
    documents = render(values_of(file))
    ours = [row for row in documents if not row["apiVersion"].startswith(OPERATOR)]
    wanted = {row["metadata"].get("namespace", "default") for row in ours} - {"default"}
    await admin.apply(*map(namespace, wanted))

    for document in ours:
        if document["apiVersion"] == "v1":
            document["metadata"].setdefault("namespace", "default")
        taken = await admin.try_out(document)
        assert taken["kind"] == document["kind"]


async def test_an_unknown_field_is_not_taken(admin: Admin, corner: str) -> None:
    pod = pod_of({"containers": [{"name": "a", "image": "a"}], "hostPid": True}, corner)

    with pytest.raises(RefusedError, match="unknown field"):
        await admin.try_out(pod)


@pytest.mark.parametrize("mode", ["deployment", "statefulset"])
async def test_pods_outside_of_the_node_are_restricted(admin: Admin, mode: str) -> None:
    where = await leveled(admin, "restricted")
    (spec,) = pod_specs(render({"mode": mode, "istiod": {"debugToken": {"enabled": True}}}))

    assert await admin.try_out(pod_of(spec, where))


async def test_a_daemonsets_pods_need_the_privileged_level(admin: Admin) -> None:
    inside, beside = pod_specs(render({"mode": "daemonset"}))
    restricted, baseline, privileged = [
        await leveled(admin, level) for level in ("restricted", "baseline", "privileged")
    ]

    assert await admin.try_out(pod_of(beside, restricted))
    assert await admin.try_out(pod_of(inside, privileged))
    with pytest.raises(RefusedError, match="violates PodSecurity"):
        await admin.try_out(pod_of(inside, baseline))
