"""NOTES.txt lists what an install cannot see, and nothing that it can."""

import pytest

from tests.charts.render import Document, render_files

ALL_SEEING: Document = {
    "mode": "daemonset",
    "namespaceOverride": "istio-system",
    "istiod": {
        "debugToken": {"enabled": True},
        "webhookDryRun": {"enabled": True, "namespace": "mesh-probe"},
    },
    "web": {"configSecret": "web"},
    "podMonitor": {"enabled": True},
}


def notes(values: Document) -> str:
    return " ".join(render_files(values)["NOTES.txt"].split())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param({}, "Ports that listen on loopback: 15000", id="loopback"),
        pytest.param({}, "Which process holds which port", id="socket tables"),
        pytest.param({}, "Set istiod.debugToken.enabled", id="token"),
        pytest.param({}, "Set istiod.webhookDryRun", id="way to the webhook"),
        pytest.param({}, "honor_labels: true", id="scraped by nobody"),
        pytest.param({}, "Everybody who can reach port 10520", id="open to all"),
        pytest.param(
            {"web": {"configSecret": "own"}},
            "where own asks for either, set web.probe",
            id="kubelet",
        ),
        pytest.param(
            {"config": {"istiod": {"mode": "none"}}},
            "istiod's pods are not polled",
            id="managed",
        ),
        pytest.param(
            {"istiod": {"debugToken": {"enabled": True}}},
            "unless istiod's DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES names monitoring",
            id="foreign token",
        ),
        pytest.param(
            {"namespaces": ["shop"]}, "istio-system is not among namespaces", id="no istiod"
        ),
        pytest.param(
            {"namespaces": ["a", "b"], "config": {"istiod": {"namespaces": []}}},
            "outside of the namespaces a, b",
            id="no trusted istiod",
        ),
        pytest.param({"namespaces": ["a", "b"]}, "outside of the namespaces a, b", id="some"),
        pytest.param(
            {"namespaces": ["a"], "rbac": {"clusterScoped": False}}, "Nodes that are", id="no nodes"
        ),
        pytest.param({"mode": "daemonset"}, "is root on every node", id="root"),
    ],
)
def test_the_notes_list_what_an_install_cannot_see(values: Document, message: str) -> None:
    assert message in notes(values)
    assert "%!" not in notes(values)
    assert message == "is root on every node" or message not in notes(ALL_SEEING)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "Its pods pull istio-port-exporter:"),
        ({}, "Open its status page: kubectl"),
        ({"mode": "statefulset"}, "shows the targets of its own shard"),
        ({"mode": "daemonset"}, "shows the targets of its own node"),
        ({"web": {"externalURL": "https://ports.example/"}}, ": https://ports.example/ or kubectl"),
    ],
)
def test_the_notes_lead_to_the_page(values: Document, message: str) -> None:
    assert message in notes(values)


@pytest.mark.parametrize(
    "image", [{"registry": "registry.example"}, {"repository": "registry.example/ports"}]
)
def test_an_image_that_is_named_needs_no_note(image: Document) -> None:
    assert "Its pods pull" not in notes({"image": image})


@pytest.mark.parametrize(
    ("metrics", "left_out", "kept"),
    [
        (
            {},
            ["IstioCertificateBehindAgent", "IstioProxyRootsDiffer"],
            ["IstioProxyListenerNotBound"],
        ),
        ({"profile": "minimal"}, ["IstioProxyListenerNotBound"], ["IstioProxyFault"]),
        ({"profile": "full"}, [], ["IstioProxyRootsDiffer", "IstioProxyListenerNotBound"]),
        (
            {"profile": "full", "disabled_families": ["istio_proxy_listener_bound"]},
            ["IstioProxyListenerNotBound"],
            ["IstioProxyRootsDiffer"],
        ),
    ],
)
def test_the_notes_name_the_alerts_that_the_metrics_do_not_feed(
    metrics: Document, left_out: list[str], kept: list[str]
) -> None:
    values: Document = {"rules": {"enabled": True}, "config": {"metrics": metrics}}
    text = notes(values)
    assert all(f"- {name}: " in text for name in left_out)
    assert not [name for name in kept if name in text]
    assert ("Alerts that the rules leave out" in text) == bool(left_out)


def test_without_rules_the_notes_name_no_alert() -> None:
    assert "Alerts that the rules leave out" not in notes({})


def test_the_notes_of_an_install_that_sees_all_list_nothing() -> None:
    assert "Nothing that a switch of this chart would add" in notes(ALL_SEEING)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param(
            {"serviceMonitor": {"enabled": True}}, "Prometheus does not scrape", id="scrape"
        ),
        pytest.param({"rules": {"enabled": True}}, "No alert is installed", id="rules"),
        pytest.param(
            {"dashboards": {"enabled": True}}, "No dashboard is installed", id="dashboards"
        ),
    ],
)
def test_the_notes_name_what_is_not_installed(values: Document, message: str) -> None:
    assert message in notes({})
    assert message not in notes(values)
