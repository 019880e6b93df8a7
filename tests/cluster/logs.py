"""What agents and istiod log, and what of it comes often, as what each poll leaves does."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from tests.cluster import istio
from tests.cluster.workloads import pods_of
from tests.real.kubernetes.client import Admin

OFTEN = 5
"""The kubelet's probes and what changes in the mesh leave a line now and then, polls one each."""
_NUMBER = re.compile(r"[0-9]+")
_OF_OTHERS = re.compile(r"\t(ads|delta|model|probes)\t|http route config|app URL path")
"""Of a change in the mesh, which istiod pushes to every proxy, and of the kubelet's own probes."""
_CONTAINERS = ("istio-proxy", "discovery")

Logs = Mapping[str, str]
"""What a pod's part of Istio has logged so far, by the pod's name."""


async def logs(admin: Admin, where: str) -> Logs:
    """The logs of the agents of a namespace, and of istiod."""
    found = {}
    for namespace in (where, istio.NAMESPACE):
        for pod in await pods_of(admin, namespace):
            metadata, spec = pod["metadata"], pod["spec"]
            names = [row["name"] for row in (*spec["containers"], *spec.get("initContainers", ()))]
            for container in set(names).intersection(_CONTAINERS):
                path = f"/api/v1/namespaces/{namespace}/pods/{metadata['name']}/log"
                found[metadata["name"]] = await admin.text(path, container=container)
    return found


def often_in(after: Logs, before: Logs) -> list[str]:
    """Lines that have come often since: the pod and the text without numbers."""
    counts = Counter(_lines(after, before))
    return [line for line, count in counts.items() if count >= OFTEN]


def _lines(after: Logs, before: Logs) -> Iterator[str]:
    assert after.keys() == before.keys()
    for pod, text in after.items():
        for line in text[len(before[pod]) :].splitlines():
            if not _OF_OTHERS.search(line):
                yield f"{pod}: {_NUMBER.sub('N', line)}"
