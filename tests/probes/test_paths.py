import re
from pathlib import Path as File
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import exporter.probes
from exporter.catalogue import PORTS
from exporter.probes import paths

NEVER = (
    "/quitquitquit",
    "/%71uitquitquit",
    "/%2f%71uitquitquit",
    "/drain",
    "/drain_listeners",
    "/app-lifecycle/app/prestophook",
    "/inject",
    "/validate",
    "/debug/adsz?push=true",
    "/debug/cachez?clear=true",
    "/debug/force_disconnect?proxyID=x",
    "/debug/syncz",
    "/debug/pprof/profile",
    "/healthcheck/fail",
    "/healthcheck/ok?x",
    "/inject/cluster/a",
    "/validate;x",
    "/stats/recentlookups/enable",
    "/logging?level=debug",
    "/reset_counters",
    "/homej/exit",
    "/scopej/all",
    "/memj/forcecollection",
    "/signalj/SIGUSR1",
)


def test_only_these_paths_are_ever_sent_unconfigured() -> None:
    assert {path.text.split("?")[0] for path in paths.FIXED} == {
        "/",
        "/ready",
        "/readyz",
        "/healthz/ready",
        "/metrics",
        "/version",
        "/homej/",
        "/debug/syncz",
        "/stats/prometheus",
        "/listeners",
        "/config_dump",
        "/certs",
        "/server_info",
    }


@pytest.mark.parametrize("path", paths.FIXED, ids=lambda path: path.text)
def test_every_path_is_a_get_with_a_user_agent(path: Any) -> None:
    lines = path.head.split(b"\r\n")
    assert lines[0] == f"GET {path.text} HTTP/1.1".encode()
    assert lines[1].startswith(b"User-Agent: istio-port-exporter/")
    assert lines[-1] == b"Host: "
    assert b" " not in path.text.encode()


def test_no_other_module_makes_a_path() -> None:
    folder = File(exporter.probes.__file__).parent
    makers = [
        file.name
        for file in folder.glob("*.py")
        if re.search(r"\bPath\(|\b_path\(", file.read_text()) and file.name != "paths.py"
    ]
    assert makers == []


@pytest.mark.parametrize("text", NEVER)
def test_paths_that_change_something_are_never_sent(text: str) -> None:
    assert text not in {path.text for path in paths.FIXED if path is not paths.SYNCZ}
    with pytest.raises(paths.Forbidden):
        paths.configured(text)
    with pytest.raises(paths.Forbidden):
        paths.application(text)


@pytest.mark.parametrize(
    "text", ["", "metrics", "/a b", "/a\r\nHost: x", "/ä", "http://x/"], ids=repr
)
def test_what_is_no_plain_path_is_not_sent(text: str) -> None:
    with pytest.raises(paths.Forbidden):
        paths.configured(text)


@pytest.mark.parametrize(
    "text", ["/healthcheck", "/healthcheck/", "/healthcheck/live", "/healthchecks", "/tapas/health"]
)
def test_an_applications_path_that_begins_alike_is_sent(text: str) -> None:
    assert paths.configured(text).text == text


def test_catalogue_paths_may_be_sent() -> None:
    for row in PORTS:
        if row.path:
            assert paths.configured(row.path).text == row.path


def test_known_paths_are_not_made_again() -> None:
    assert paths.configured("/metrics") is paths.METRICS
    assert paths.metrics("/metrics") is paths.METRICS


METRICS_PAGES = (
    *(path for path in paths.FIXED if path.text.startswith(("/stats/prometheus", "/metrics"))),
    *map(paths.metrics, ("/metrics", "/stats/prometheus", "/custom/metrics?x=1")),
)


@pytest.mark.parametrize("path", METRICS_PAGES, ids=lambda path: path.text)
def test_pages_of_metrics_are_requested_in_prometheus_text_and_no_other_form(path: Any) -> None:
    accepted = [line for line in path.head.split(b"\r\n") if line.lower().startswith(b"accept")]
    assert accepted == [b"Accept: text/plain;version=0.0.4"]


def test_other_requests_name_no_form() -> None:
    others = [path for path in paths.FIXED if path not in METRICS_PAGES]
    assert paths.HEALTHZ_READY in others
    assert not any(b"accept" in path.head.lower() for path in others)


@pytest.mark.parametrize("text", [*NEVER, "/a b", "/a\r\nHost: x"])
def test_a_page_of_metrics_is_no_way_around_what_is_never_sent(text: str) -> None:
    with pytest.raises(paths.Forbidden):
        paths.metrics(text)


def test_application_probes_are_the_kubelets_own() -> None:
    assert paths.application("/app-health/app/readyz").text == "/app-health/app/readyz"


@given(st.text(max_size=60))
def test_no_text_smuggles_a_second_line(text: str) -> None:
    for make in (paths.configured, paths.application):
        try:
            head = make(text).head
        except paths.Forbidden:
            continue
        assert head.count(b"\r\n") == 2
        assert head.startswith(b"GET /")


def test_filters_reach_envoy_as_its_own_names() -> None:
    regex = re.compile(paths.ENVOY_STATS_REGEX)
    kept = [name for name in RAW_NAMES if regex.search(name)]
    assert kept == list(RAW_NAMES[:14])


RAW_NAMES = (
    "server.live",
    "server.state",
    "listener_manager.total_listeners_active",
    "listener_manager.total_listeners_warming",
    "listener_manager.workers_started",
    "listener_manager.listener_create_failure",
    "listener_manager.lds.update_success",
    "listener_manager.lds.update_rejected",
    "listener_manager.lds.update_failure",
    "cluster_manager.cds.update_success",
    "cluster_manager.cds.update_failure",
    "cluster.xds-grpc.upstream_cx_active",
    "cluster.xds-grpc;.upstream_cx_active",
    "istiocustom.istio_build.component.proxy.tag.1.28.1",
    "server.uptime",
    "listener_manager.lds.update_duration",
    "listener_manager.lds.update_attempt",
    "cluster.outbound|80||shop.svc;.upstream_cx_active",
    "cluster.xds-grpc.upstream_rq_active",
    "istiocustom.istio_requests_total.reporter.source.istio_build",
)


def test_grpc_has_one_method_and_it_is_written_nowhere_else() -> None:
    sources = File(exporter.probes.__file__).parent.glob("*.py")
    naming = [file.name for file in sources if re.search(r"/grpc\.\w", file.read_text())]
    assert naming == ["paths.py"]
    assert paths.GRPC_HEALTH_CHECK == "/grpc.health.v1.Health/Check"
