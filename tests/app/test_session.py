"""The serving process as a whole: start, reload, a file that breaks, shutdown."""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.bounds import PROBLEMS

TARGET = "- {namespace: shop, pod: %s, role: proxyless, address: 127.0.0.9}\n"
CONFIG = """
discovery: {kubernetes: {enabled: false}, static: {files: [targets.yaml]}}
poll: {interval: 300ms, detail_interval: 600ms, timeout: 100ms}
web: {listen_address: "127.0.0.1:0"}
"""


class Served:
    """A serving process, its log and its address."""

    def __init__(
        self, folder: Path, config: str, targets: str, before: Sequence[str] = (), **environ: str
    ) -> None:
        self.folder = folder
        self.config = folder / "exporter.yaml"
        self.targets = folder / "targets.yaml"
        self.log = folder / "log"
        self.config.write_text(config)
        self.targets.write_text(targets)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    *before,
                    sys.executable,
                    "-m",
                    "exporter",
                    "serve",
                    "--config.file",
                    self.config,
                ],
                stderr=log,
                stdout=log,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environ},
            )

    def wait_until_it_listens(self) -> None:
        until(lambda: "listening address=" in self.log.read_text(), "listens", 30)
        self.address = self.log.read_text().split("listening address=")[1].split()[0]

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def samples(self) -> dict[tuple[str, str], float]:
        """The value by sample name and pod (or file), of the last label set."""
        found = {}
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                label = sample.labels.get("pod") or Path(sample.labels.get("file", "")).name
                found[sample.name, label] = sample.value
        return found


def until(condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"did not happen: {what}"
        time.sleep(0.05)


@contextmanager
def serving(
    folder: Path,
    config: str = CONFIG,
    targets: str = TARGET % "cart",
    before: Sequence[str] = (),
    **environ: str,
) -> Iterator[Served]:
    served = Served(folder, config, targets, before, **environ)
    try:
        served.wait_until_it_listens()
        yield served
    finally:
        served.process.kill()
        served.process.wait()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as process:
        yield process


def test_it_becomes_ready_and_serves_its_targets(served: Served) -> None:
    until(lambda: served.get("/-/ready")[0] == 200, "ready")
    assert served.get("/-/healthy")[0] == 200
    samples = served.samples()
    assert samples["istio_port_up", "cart"] == 0
    assert samples["istio_port_exporter_config_last_reload_successful", ""] == 1
    assert samples["istio_port_exporter_polls_total", ""] > 0


def test_a_changed_configuration_is_taken_on_sighup_and_a_bad_one_is_not(served: Served) -> None:
    until(lambda: served.get("/-/ready")[0] == 200, "ready")
    served.config.write_text(CONFIG + "metrics: {profile: minimal}\n")
    served.process.send_signal(signal.SIGHUP)
    until(lambda: ("istio_port_outcome", "cart") not in served.samples(), "the minimal profile")
    served.config.write_text("pol: {}\n")
    served.process.send_signal(signal.SIGHUP)
    name = "istio_port_exporter_config_last_reload_successful"
    until(lambda: served.samples()[name, ""] == 0, "the metric says so")
    assert served.samples()["istio_port_up", "cart"] == 0
    assert "the old one stays" in served.log.read_text()
    served.config.write_text(CONFIG + "log: {level: debug, format: json}\n")
    served.process.send_signal(signal.SIGHUP)
    until(lambda: '"message": "configuration reloaded"' in served.log.read_text(), "JSON")


def test_a_target_file_that_breaks_keeps_the_old_targets(served: Served) -> None:
    until(lambda: ("istio_port_up", "cart") in served.samples(), "polled")
    served.targets.write_text("- {namespace: shop, pod: cart, adress: 10.0.0.1}\n")
    name = "istio_port_exporter_discovery_file_up"
    until(lambda: served.samples()[name, "targets.yaml"] == 0, "the metric says so")
    assert ("istio_port_up", "cart") in served.samples()
    assert served.log.read_text().count("static targets unchanged") == 1
    served.targets.write_text(TARGET % "web")
    until(lambda: ("istio_port_up", "web") in served.samples(), "mended")
    assert ("istio_port_up", "cart") not in served.samples()
    assert served.samples()[name, "targets.yaml"] == 1


def test_of_two_broken_files_the_mended_one_is_readable_again(served: Served) -> None:
    name = "istio_port_exporter_discovery_file_up"
    files = ("targets.yaml", "more.yaml")
    good = dict(zip(files, (TARGET % "cart", TARGET % "web"), strict=True))
    (served.folder / "more.yaml").write_text(good["more.yaml"])
    served.config.write_text(CONFIG.replace("[targets.yaml]", "[targets.yaml, more.yaml]"))
    served.process.send_signal(signal.SIGHUP)
    until(lambda: ("istio_port_up", "web") in served.samples(), "both are read")
    first, second = files
    for one, text, up in (
        (first, "{broken", {first: 0, second: 1}),
        (second, "{broken", {first: 0, second: 0}),
        (first, good[first], {first: 1, second: 0}),
    ):
        (served.folder / one).write_text(text)
        until(lambda up=up: {file: served.samples()[name, file] for file in files} == up, one)


def test_of_more_broken_files_than_are_named_each_has_its_own_sample(served: Served) -> None:
    good = {f"{number}.yaml": TARGET % f"web-{number}" for number in range(PROBLEMS + 3)}
    for file, text in good.items():
        (served.folder / file).write_text(text)
    served.config.write_text(CONFIG.replace("[targets.yaml]", f"[{', '.join(good)}]"))
    served.process.send_signal(signal.SIGHUP)
    until(lambda: ups(served) == dict.fromkeys(good, 1), "all are read")
    for broken in ([*good][:-1], [*good][1:]):
        for file, text in good.items():
            (served.folder / file).write_text("{broken" if file in broken else text)
        wanted = {file: float(file not in broken) for file in good}
        until(lambda wanted=wanted: ups(served) == wanted, "those that are broken")


def ups(served: Served) -> dict[str, float]:
    name = "istio_port_exporter_discovery_file_up"
    return {file: value for (family, file), value in served.samples().items() if family == name}


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_and_cleanly(served: Served, stop: signal.Signals) -> None:
    served.process.send_signal(stop)
    assert served.process.wait(5) == 0
    assert "Traceback" not in served.log.read_text()


def test_a_taken_port_is_said_in_one_line(served: Served) -> None:
    address = f"127.0.0.1:{served.address.rpartition(':')[2]}"
    ended = subprocess.run(
        [sys.executable, "-m", "exporter", "serve", "--web.listen-address", address],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=30,
        check=False,
    )
    assert ended.returncode == 3
    assert f"cannot listen on {address}" in ended.stderr
    assert "Traceback" not in ended.stderr


class KubernetesApi(http.server.BaseHTTPRequestHandler):
    """An API server with one pod, whose watches stay silent."""

    POD = """{"metadata": {"name": "cart", "namespace": "mesh", "uid": "u"},
        "spec": {"containers": [{"name": "istio-proxy", "args": ["proxy", "sidecar"]}]},
        "status": {"podIPs": [{"ip": "127.0.0.9"}]}}"""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        if "watch=" in self.path:
            self.wfile.flush()
            threading.Event().wait(30)
            return
        items = self.POD if "/pods" in self.path else ""
        page = f'{{"metadata": {{"resourceVersion": "7"}}, "items": [{items}]}}'
        self.wfile.write(page.encode())

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def kubeconfig(folder: Path, port: int) -> str:
    """A kubeconfig for an API server without TLS, in JSON, which is YAML too."""
    cluster = {"server": f"http://127.0.0.1:{port}"}
    document = {
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": cluster}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "me"}}],
        "users": [{"name": "me", "user": {"token": "canary-5c1e"}}],
    }
    (folder / "kubeconfig").write_text(json.dumps(document))
    return str(folder / "kubeconfig")


IN_CLUSTER = CONFIG.replace("enabled: false", "enabled: true")


def test_pods_of_a_cluster_are_polled_beside_static_targets(tmp_path: Path) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), KubernetesApi)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        path = kubeconfig(tmp_path, server.server_address[1])
        with serving(tmp_path, IN_CLUSTER, KUBECONFIG=path) as served:
            until(lambda: served.get("/-/ready")[0] == 200, "ready")
            status, page = served.get("/metrics")
            text = served.log.read_text()
    finally:
        server.shutdown()
        server.server_close()
    assert status == 200
    assert 'istio_target_info{namespace="mesh",pod="cart",role="sidecar"' in page
    assert 'istio_target_info{namespace="shop",pod="cart",role="proxyless"' in page
    assert 'istio_port_exporter_discovery_synced{resource="pods"} 1' in page
    assert "canary" not in text + page


def test_an_api_server_that_is_down_leaves_static_targets_polled(tmp_path: Path) -> None:
    with serving(tmp_path, IN_CLUSTER, KUBECONFIG=kubeconfig(tmp_path, 9)) as served:
        until(lambda: ("istio_port_up", "cart") in served.samples(), "polled")
        until(lambda: "kubernetes watch failed" in served.log.read_text(), "said")
        assert served.get("/-/ready")[0] == 503
        assert 'discovery_synced{resource="pods"} 0' in served.get("/metrics")[1]
        assert "canary" not in served.log.read_text()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (IN_CLUSTER, "only static targets are watched"),
        (IN_CLUSTER.replace(", static: {files: [targets.yaml]}", ""), "there is nothing to watch"),
    ],
    ids=["static targets", "nothing at all"],
)
def test_without_credentials_it_says_once_what_is_watched(
    tmp_path: Path, config: str, said: str
) -> None:
    with serving(tmp_path, config, HOME=str(tmp_path), KUBECONFIG="") as served:
        until(lambda: served.get("/-/ready")[0] == 200, "ready")
        assert served.log.read_text().count(said) == 1


def test_a_namespace_that_cannot_be_entered_is_said_once(tmp_path: Path) -> None:
    targets = TARGET.replace("}", ", netns: nope}") % "cart"
    with serving(tmp_path, targets=targets) as served:
        said = "namespace /run/netns/nope cannot be entered"
        until(lambda: said in served.log.read_text(), "said", 40)
        page = served.get("/metrics")[1]
        assert 'istio_port_exporter_capability{capability="netns"} 0.0' in page
        assert served.log.read_text().count(said) == 1


MANAGED = """
discovery: {kubernetes: {enabled: false}, static: {files: [targets.yaml]}}
poll: {interval: 300ms, detail_interval: 600ms, timeout: 100ms}
istiod: {mode: none}
web: {listen_address: "127.0.0.1:0"}
"""


def test_a_managed_control_plane_is_not_looked_at_and_that_is_said_once(tmp_path: Path) -> None:
    istiod = "- {namespace: istio-system, pod: istiod, role: istiod, address: 127.0.0.8}\n"
    with serving(tmp_path, MANAGED, TARGET % "cart" + istiod) as served:
        until(lambda: ("istio_target_info", "cart") in served.samples(), "polled")
        page = served.get("/metrics")[1]
        assert 'role="istiod"' not in page
        assert "\nistio_control_plane_" not in page
        assert 'istio_port_exporter_capability{capability="istiod"} 0.0' in page
        assert served.log.read_text().count("capability=istiod ") == 1
