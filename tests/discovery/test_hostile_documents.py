"""Pod documents from anybody: each is a target, none, or skipped."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config import Config
from exporter.discovery.ambient_pods import ambient_redirection
from exporter.discovery.pod_documents import Pod, decode_pod
from exporter.discovery.pods import targets_of_pod
from exporter.parsing import parse_address
from exporter.poll.plan import plan_of
from tests.discovery.untrusted_text import CONFIGS, texts

numbers = st.one_of(st.integers(), st.sampled_from((0, 1, 15020, 65535, 65536, 2**31, 10**400)))


FLAGS = ("-p", "-z", "-m", "-b", "-d", "--envoy-port", "istio-iptables", "proxy", "router")


words = st.lists(st.one_of(st.sampled_from(FLAGS), texts), max_size=8)


VARIABLES = (
    "PROXY_CONFIG",
    "ENVOY_PROMETHEUS_PORT",
    "ENVOY_STATUS_PORT",
    "ENVOY_SECURE_METRICS_PORT",
    "ISTIO_META_ISTIO_VERSION",
    "ISTIO_VERSION",
    "ISTIO_KUBE_APP_PROBERS",
    "ISTIO_META_INTERCEPTION_MODE",
)


ANNOTATIONS = (
    "proxy.istio.io/config",
    "status.sidecar.istio.io/port",
    "sidecar.istio.io/status",
    "traffic.sidecar.istio.io/includeInboundPorts",
    "traffic.sidecar.istio.io/excludeInboundPorts",
    "istio-port-exporter/ignore",
    "istio.io/rev",
)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


env = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from(VARIABLES), "value": texts}), max_size=4
)


containers = st.lists(
    some(
        name=st.sampled_from(("istio-proxy", "discovery", "install-cni", "agentgateway", "app")),
        image=texts.map("proxyv2:{}".format),
        args=words,
        command=words,
        env=env,
        ports=st.lists(some(containerPort=numbers, protocol=st.just("TCP")), max_size=3),
        restartPolicy=st.sampled_from(("Always", "")),
    ),
    max_size=3,
)


states = some(
    running=some(startedAt=texts),
    waiting=some(reason=texts),
    terminated=some(reason=texts, exitCode=numbers),
)


statuses = st.lists(
    some(
        name=st.just("istio-proxy"),
        ready=st.booleans(),
        restartCount=numbers,
        containerID=texts,
        state=states,
        lastState=states,
    ),
    max_size=2,
)


pods = st.fixed_dictionaries(
    {"metadata": st.fixed_dictionaries({"name": texts}, optional={
        "namespace": texts,
        "uid": texts,
        "creationTimestamp": texts,
        "labels": st.dictionaries(st.sampled_from(("app", "istio.io/rev", "x")), texts),
        "annotations": st.dictionaries(st.sampled_from(ANNOTATIONS), texts),
        "ownerReferences": st.lists(some(kind=texts, name=texts, controller=st.booleans())),
    })},
    optional={
        "spec": some(containers=containers, initContainers=containers, nodeName=texts),
        "status": some(
            phase=texts,
            podIP=texts,
            podIPs=st.lists(some(ip=texts), max_size=3),
            containerStatuses=statuses,
        ),
    },
)  # fmt: skip


def planned(pod: Pod) -> None:
    ambient_redirection(pod, in_ambient_namespace=False)
    for target in targets_of_pod(pod):
        plan = plan_of(target, Config())
        assert all(1 <= port.number <= 65535 for port in plan.ports)
        assert all(parse_address(address) for address in target.addresses)
        assert len(plan.network) == len(target.addresses)


@settings(max_examples=400, deadline=None)
@given(pods)
def test_any_pod_is_a_target_or_none_or_no_pod(document: dict[str, Any]) -> None:
    try:
        pod = decode_pod(json.dumps(document).encode())
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    planned(pod)


@pytest.mark.parametrize("text", CONFIGS, ids=range(len(CONFIGS)))
@pytest.mark.parametrize("name", [*VARIABLES, *ANNOTATIONS])
def test_a_text_of_a_sidecar_costs_it_no_more_than_what_it_states(name: str, text: str) -> None:
    container = {
        "name": "istio-proxy",
        "args": ["proxy", "sidecar"],
        "env": [{"name": name, "value": text}],
    }
    metadata = {"name": "a", "annotations": {name: text}}
    document = {"metadata": metadata, "spec": {"containers": [container]}}
    assert len(targets_of_pod(msgspec.convert(document, Pod))) == 1
