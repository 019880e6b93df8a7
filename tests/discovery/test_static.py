"""Targets written by hand: entries, files, pod documents, and files that change."""

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from exporter.config import ConfigError, StaticConfig, StaticTarget, load
from exporter.discovery import static as static_module
from exporter.discovery.static import StaticSource, load_static
from exporter.model import Interception, Role, Settings, Target, TargetKey

POD = {
    "metadata": {
        "name": "cart-1",
        "namespace": "shop",
        "labels": {"app": "cart"},
        "annotations": {"sidecar.istio.io/status": "{}"},
    },
    "spec": {
        "containers": [
            {"name": "app", "ports": [{"containerPort": 8080}]},
            {"name": "istio-proxy", "image": "proxyv2:1.28.3", "args": ["proxy", "sidecar"]},
        ]
    },
}


def entry(**fields: object) -> StaticTarget:
    return StaticTarget(**({"address": ("10.0.0.7",)} | fields))  # type: ignore[arg-type]


def targets(*entries: StaticTarget, base: Path = Path()) -> tuple[Target, ...]:
    return load_static(StaticConfig(targets=entries), base)


def test_an_address_is_enough() -> None:
    assert targets(entry()) == (
        Target(
            key=TargetKey("default", "10.0.0.7"),
            role=Role.SIDECAR,
            addresses=("10.0.0.7",),
            captured=True,
            uid="default/10.0.0.7",
        ),
    )


def test_an_entry_may_set_every_field() -> None:
    (found,) = targets(
        entry(
            namespace="shop",
            pod="cart",
            address=("10.0.0.7", "fd00::7"),
            istio_version="1.28.0",
            netns="4711",
            settings={"status_port": 15120},
            labels={"app": "cart"},
            node="node-a",
            workload="cart",
            revision="canary",
            cluster_id="east",
            ignored_ports=(15090,),
        )
    )
    assert found == Target(
        key=TargetKey("shop", "cart"),
        role=Role.SIDECAR,
        addresses=("10.0.0.7", "fd00::7"),
        captured=True,
        settings=Settings(status_port=15120),
        istio_version="1.28.0",
        netns="4711",
        uid="shop/cart",
        node="node-a",
        workload="cart",
        revision="canary",
        cluster_id="east",
        labels={"app": "cart"},
        ignored_ports=(15090,),
    )


@pytest.mark.parametrize(
    ("fields", "captured"),
    [
        pytest.param({}, True, id="sidecar"),
        pytest.param({"role": Role.GATEWAY}, False, id="gateway"),
        pytest.param({"captured": False}, False, id="said"),
        pytest.param({"settings": {"interception": Interception.NONE}}, False, id="interception"),
        pytest.param({"settings": {"included_inbound_ports": ()}}, False, id="includes-none"),
    ],
)
def test_sidecars_are_captured_unless_configured_otherwise(
    fields: dict[str, object],
    captured: bool,
) -> None:
    (found,) = targets(entry(**fields))
    assert found.captured is captured


def test_a_static_istiod_is_never_trusted(tmp_path: Path) -> None:
    istiod = {
        "metadata": {"name": "istiod", "namespace": "istio-system", "labels": {"app": "istiod"}},
        "spec": {"containers": [{"name": "discovery"}], "serviceAccountName": "istiod"},
    }
    (tmp_path / "pod.json").write_text(json.dumps(istiod))
    (found,) = targets(entry(pod="pod.json"), base=tmp_path)
    assert (found.role, found.trusted) == (Role.ISTIOD, False)


@pytest.mark.parametrize("name", ["pod.json", "pod.yaml"])
def test_an_entry_overrides_its_pod_document(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps(POD))
    (found,) = targets(entry(pod=name, node="n", settings={"admin_port": 15100}), base=tmp_path)
    assert found.key == TargetKey("shop", "cart-1")
    assert (found.addresses, found.node, found.captured) == (("10.0.0.7",), "n", True)
    assert found.settings == Settings(admin_port=15100, app_ports=(8080,))
    assert (found.istio_version, found.labels) == ("1.28.3", {"app": "cart"})


def test_a_pod_document_may_bring_its_address(tmp_path: Path) -> None:
    (tmp_path / "pod.json").write_text(json.dumps({**POD, "status": {"podIP": "10.0.0.9"}}))
    (found,) = targets(entry(pod="pod.json", address=()), base=tmp_path)
    assert found.addresses == ("10.0.0.9",)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param(None, "{0}/pod.json: cannot be read: No such file or directory", id="missing"),
        pytest.param("{", "{0}/pod.json:2: is not YAML: ", id="broken"),
        pytest.param(
            "[]", "{0}/pod.json: is not a pod document: give the document of one pod", id="a-list"
        ),
        pytest.param(
            json.dumps({"metadata": {"name": "a"}}),
            "{0}/exporter.yaml:4: {0}/pod.json is no target: nothing in this pod is Istio's",
            id="no-target",
        ),
        pytest.param(
            json.dumps(POD),
            "{0}/exporter.yaml:4: needs an address: {0}/pod.json has none in its status",
            id="no-address",
        ),
    ],
)
def test_a_pod_document_that_cannot_be_used(
    tmp_path: Path, document: str | None, message: str
) -> None:
    if document is not None:
        (tmp_path / "pod.json").write_text(document)
    path = tmp_path / "exporter.yaml"
    path.write_text("discovery:\n  static:\n    targets:\n      - pod: pod.json\n")
    with pytest.raises(ConfigError) as caught:
        load_static(load(path).discovery.static, tmp_path)
    assert str(caught.value).startswith(message.format(tmp_path))


def test_files_bring_targets_of_their_own_folder(tmp_path: Path) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "pod.json").write_text(json.dumps(POD))
    (folder / "targets.yaml").write_text(
        "- {address: 10.0.0.8}\n- {address: 10.0.0.9, pod: pod.json}"
    )
    static = StaticConfig(files=("more/targets.yaml",), targets=(entry(),))
    found = [str(target.key) for target in load_static(static, tmp_path)]
    assert found == ["default/10.0.0.8", "shop/cart-1", "default/10.0.0.7"]


def test_a_target_may_not_be_defined_in_two_files(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("- {address: 10.0.0.8}\n")
    with pytest.raises(ConfigError) as caught:
        load_static(StaticConfig(files=("a.yaml", "b.yaml")), tmp_path)
    expected = f"{tmp_path}/b.yaml:1: default/10.0.0.8 is defined twice: it has to be unique"
    assert str(caught.value) == expected


class Heard:
    """What a source reported."""

    def __init__(self) -> None:
        self.targets: list[list[str]] = []
        self.errors: list[str] = []
        self.news = asyncio.Event()

    async def change(self, found: Iterable[Target]) -> None:
        self.targets.append([target.key.pod for target in found])
        self.news.set()

    def error(self, error: ConfigError) -> None:
        self.errors.append(str(error))
        self.news.set()

    async def until(self, *, changes: int, errors: int = 0) -> None:
        async with asyncio.timeout(5):
            while (len(self.targets), len(self.errors)) != (changes, errors):
                await self.news.wait()
                self.news.clear()


def write(path: Path, text: str) -> None:
    """Replace a file at once, as a careful editor does."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)


@asynccontextmanager
async def watching(static: StaticConfig, base: Path) -> AsyncIterator[Heard]:
    heard = Heard()
    task = asyncio.create_task(StaticSource(static, base, 0.01).run(heard.change, heard.error))
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_source_reports_at_once_and_again_when_a_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "targets.yaml"
    write(path, "- {address: 10.0.0.8}")
    async with watching(StaticConfig(files=("targets.yaml",)), tmp_path) as heard:
        await heard.until(changes=1)
        write(path, "- {address: 10.0.0.8}\n- {address: 10.0.0.9}")
        await heard.until(changes=2)
        await asyncio.sleep(0.05)
    assert heard.targets == [["10.0.0.8"], ["10.0.0.8", "10.0.0.9"]]


async def test_source_reports_a_changed_pod_document(tmp_path: Path) -> None:
    path = tmp_path / "pod.json"
    write(path, json.dumps(POD))
    async with watching(StaticConfig(targets=(entry(pod="pod.json"),)), tmp_path) as heard:
        await heard.until(changes=1)
        renamed = {**POD, "metadata": {"name": "cart-number-2", "namespace": "shop"}}
        write(path, json.dumps(renamed))
        await heard.until(changes=2)
    assert heard.targets == [["cart-1"], ["cart-number-2"]]


async def test_no_file_is_touched_on_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()

    def noted(work: Callable[..., object]) -> Callable[..., object]:
        def run(*args: object) -> object:
            threads.add(threading.get_ident())
            return work(*args)

        return run

    for name in ("stamp_of", "read_file", "read_targets"):
        monkeypatch.setattr(static_module, name, noted(getattr(static_module, name)))
    write(tmp_path / "pod.json", json.dumps(POD))
    write(tmp_path / "targets.yaml", "- {pod: pod.json, address: 10.0.0.8}")
    async with watching(StaticConfig(files=("targets.yaml",)), tmp_path) as heard:
        await heard.until(changes=1)
        write(tmp_path / "targets.yaml", "- {address: 10.0.0.8}")
        await heard.until(changes=2)
    assert threads
    assert threading.get_ident() not in threads


async def test_a_broken_file_is_reported_once_and_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "targets.yaml"
    write(path, "- {address: 10.0.0.8}")
    async with watching(StaticConfig(files=("targets.yaml",)), tmp_path) as heard:
        await heard.until(changes=1)
        write(path, "- {address: nowhere}")
        await heard.until(changes=1, errors=1)
        write(path, "- {address: nowhere}   ")
        await asyncio.sleep(0.05)
        write(path, "- {address: 10.0.0.10}")
        await heard.until(changes=2, errors=1)
    assert heard.targets == [["10.0.0.8"], ["10.0.0.10"]]
    assert heard.errors[0].startswith(f"{path}:1: [0].address: 'nowhere' is not an IP address")
    assert [record.name for record in caplog.records] == ["exporter.discovery.static"]


@pytest.mark.parametrize("broken", ["{broken", *("- {address: nowhere}\n" * n for n in (1, 300))])
async def test_every_broken_file_is_named_whichever_comes_first(
    tmp_path: Path, broken: str
) -> None:
    good = {name: f"- {{address: 10.0.0.{number}}}" for number, name in enumerate("abc", start=1)}
    for name, text in good.items():
        write(tmp_path / name, text)
    async with watching(StaticConfig(files=tuple(good)), tmp_path) as heard:
        await heard.until(changes=1)
        for errors, (name, text) in enumerate(
            (("a", broken), ("c", broken), ("a", good["a"])), start=1
        ):
            write(tmp_path / name, text)
            await heard.until(changes=1, errors=errors)
    told = [error.splitlines() for error in heard.errors]
    named = [{line.split(":")[0] for line in lines if line[0] == "/"} for lines in told]
    a, c = str(tmp_path / "a"), str(tmp_path / "c")
    assert named == [{a}, {a, c}, {c}]
    if broken.count("\n") > 1:
        assert told[1][-1] == "2 files have 500 more problems, which are not listed"


async def test_missing_file_may_appear_later(tmp_path: Path) -> None:
    async with watching(StaticConfig(files=("targets.yaml",)), tmp_path) as heard:
        await heard.until(changes=0, errors=1)
        (tmp_path / "targets.yaml").write_text("- {address: 10.0.0.8}")
        await heard.until(changes=1, errors=1)
    assert heard.targets == [["10.0.0.8"]]


async def test_swapped_link_is_a_change(tmp_path: Path) -> None:
    for name, address in (("old", "10.0.0.8"), ("new", "10.0.0.9")):
        (tmp_path / name).write_text(f"- {{address: {address}}}")
    link = tmp_path / "targets.yaml"
    link.symlink_to(tmp_path / "old")
    async with watching(StaticConfig(files=("targets.yaml",)), tmp_path) as heard:
        await heard.until(changes=1)
        (tmp_path / "next").symlink_to(tmp_path / "new")
        (tmp_path / "next").rename(link)
        await heard.until(changes=2)
    assert heard.targets == [["10.0.0.8"], ["10.0.0.9"]]


PLAIN_TIMES = """\
apiVersion: v1
kind: Pod
metadata: {name: cart-1, namespace: shop, creationTimestamp: 2026-01-01T10:00:00Z}
spec: {containers: [{name: istio-proxy, image: "istio/proxyv2:1.28.1", args: [proxy, router]}]}
status:
  podIP: 10.0.0.7
  startTime: 2026-01-01 10:00:01
  containerStatuses:
    - name: istio-proxy
      ready: true
      state: {running: {startedAt: 2026-01-01T10:00:05+00:00}}
"""


def test_a_pod_document_in_yaml_has_its_times_quoted_or_plain(tmp_path: Path) -> None:
    for text in (PLAIN_TIMES, re.sub(r"(2026-[^,}\n]+)", r"'\1'", PLAIN_TIMES)):
        (tmp_path / "pod.yaml").write_text(text)
        (found,) = targets(StaticTarget(pod="pod.yaml"), base=tmp_path)
        assert found.lifecycle.created == 1767261600.0
        assert found.lifecycle.started == 1767261605.0


NO_PODS = {
    "deployment": ("kind: Deployment\nmetadata: {name: cart}\n", "is a Deployment and not a pod"),
    "list": ("kind: List\nitems: [{}, {}]\n", "is a list of 2 objects and not a pod"),
    "pod list": ("kind: PodList\nitems: []\n", "is a list of 0 objects and not a pod"),
    "empty": ("", "is empty"),
    "comment": ("# nothing\n", "is empty"),
    "empty mapping": ("{}", "is empty"),
    "sequence": ("[1, 2]", "is not a pod document"),
    "text": ("cart", "is not a pod document"),
    "something else": ("cart: 1", "is not a pod document, it has no metadata"),
}


def test_a_file_with_several_pods_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text(f"{PLAIN_TIMES}\n---\n{PLAIN_TIMES}")
    with pytest.raises(ConfigError, match="give one document in each file"):
        targets(StaticTarget(pod="pod.yaml"), base=tmp_path)


@pytest.mark.parametrize(("text", "what"), NO_PODS.values(), ids=NO_PODS)
def test_what_is_no_pod_is_named_with_what_to_give_instead(
    text: str, what: str, tmp_path: Path
) -> None:
    (tmp_path / "pod.yaml").write_text(text)
    with pytest.raises(ConfigError) as failed:
        targets(StaticTarget(pod="pod.yaml"), base=tmp_path)
    (problem,) = failed.value.problems
    assert problem.message.startswith(what)
    assert "kubectl get pod NAME -o yaml" in problem.message
    assert "\n" not in problem.message
