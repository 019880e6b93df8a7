"""`check` against real listeners on loopback: nothing is patched."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from exporter.cli.check import exit_of
from exporter.cli.main import main
from exporter.cli.target_sources import selects
from exporter.model import (
    CauseClass,
    Diagnosis,
    Outcome,
    Role,
    Target,
    TargetKey,
    TargetRecord,
    Verdict,
    View,
)
from exporter.report.health import Health

READY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
CNI = "{namespace: istio-system, pod: %s, role: cni, address: %s, istio_version: '1.28.0'}"


@pytest.fixture(autouse=True)
def no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have a kubeconfig; it is not theirs."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table is as wide as the terminal, and where the tests run there may be none."""
    monkeypatch.setenv("COLUMNS", "200")


@contextlib.contextmanager
def answering(address: str, port: int, answer: bytes) -> Iterator[None]:
    """A listener in a thread of its own that answers every request with the same bytes."""

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read(4096)
            writer.write(answer)
            await writer.drain()
            writer.close()

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(answered, address, port))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield

    async def close() -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(close(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


def configured(folder: Path, *targets: str) -> list[str]:
    """A configuration with these targets; returns the flag that names it."""
    file = folder / "exporter.yaml"
    rows = "".join(f"\n      - {target}" for target in targets)
    file.write_text(
        f"discovery:\n  static:\n    targets:{rows or ' []'}\npoll: {{timeout: 500ms}}\n"
    )
    return ["--config.file", str(file)]


@pytest.fixture
def healthy() -> Iterator[str]:
    page = b"# TYPE up gauge\nup 1\n"
    metrics = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close\r\n"
        b"content-length: %d\r\n\r\n%s" % (len(page), page)
    )
    address = "127.71.1.1"
    with answering(address, 8000, READY), answering(address, 15014, metrics):
        yield CNI % ("cni-healthy", address)


BROKEN = CNI % ("cni-broken", "127.71.1.2")


def test_a_healthy_target_ends_with_0(
    healthy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *configured(tmp_path, healthy)]) == 0
    printed = capsys.readouterr()
    assert "cni-healthy" in printed.out
    assert "8000✓" in printed.out
    assert "1 target: 1 healthy" in printed.out


def test_a_broken_target_ends_with_1_and_advice(
    healthy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *configured(tmp_path, healthy, BROKEN)]) == 1
    printed = capsys.readouterr().out
    assert "8000✗" in printed
    assert "2 targets: 1 healthy, 1 unhealthy" in printed
    assert "cni_not_ready (fault)" in printed


def test_a_workload_in_ambient_gets_a_second_hello_where_the_first_one_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = "127.71.1.3"
    workload = f"{{namespace: shop, pod: web, role: ambient, address: {address}}}"
    with answering(address, 15008, b""), answering(address, 15999, b""):
        assert main(["check", *configured(tmp_path, workload)]) == 1
    assert "identity_not_issued (fault)" in capsys.readouterr().out


def test_a_selector_leaves_the_rest_out(
    healthy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = configured(tmp_path, healthy, BROKEN)
    assert main(["check", "istio-system/*healthy", *flags, "-o", "json"]) == 0
    (target,) = json.loads(capsys.readouterr().out)["targets"]
    assert target["pod"] == "cni-healthy"


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_documents_are_the_apis(
    output: str, read: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *configured(tmp_path, BROKEN), "-o", output]) == 1
    found = read(capsys.readouterr().out)  # type: ignore[operator]
    (target,) = found["targets"]
    assert target["state"] == "unhealthy"
    assert target["diagnosis"]["cause"] == "cni_not_ready"
    readiness = next(port for port in target["ports"] if port["port"] == 8000)
    assert (readiness["up"], readiness["outcome"], readiness["naive"]) == (False, "refused", False)
    assert isinstance(found["not_judged"], list)
    assert found["unseen"] == found["not_judged"]


def test_wide_shows_every_port_in_a_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    assert main(["check", *configured(tmp_path, BROKEN), "-o", "wide"]) == 1
    rows = [line for line in capsys.readouterr().out.splitlines() if "refused" in line]
    assert {"8000", "15014"} <= {row.split("│")[3].strip() for row in rows if "│" in row}


@pytest.mark.parametrize(
    ("targets", "selector", "code", "sentence"),
    [
        ([], "", 3, "There are no targets: no kubeconfig was found."),
        (
            [CNI % (f"cni-{n}", f"127.72.0.{n}") for n in range(1, 13)],
            "nothing-like-it",
            3,
            "No target matches 'nothing-like-it'; the configuration has istio-system/cni-1, ",
        ),
        (
            [CNI % (f"cni-{n}", f"127.72.0.{n}") for n in range(1, 202)],
            "",
            2,
            "201 targets are more than 200: select fewer, or add --all.",
        ),
    ],
    ids=["no-targets", "no-match", "too-many"],
)
def test_a_sentence_explains_why_nothing_is_polled(
    targets: list[str],
    selector: str,
    code: int,
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["check", selector, *configured(tmp_path, *targets)]) == code
    printed = capsys.readouterr().err
    assert sentence in printed
    assert printed.count("istio-system/cni-") <= 10


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("", True),
        ("default", True),
        ("web-1", True),
        ("web-*", True),
        ("default/web-1", True),
        ("default/*", True),
        ("other", False),
        ("other/web-1", False),
        ("web", False),
    ],
)
def test_selectors_name_namespaces_and_pods(selector: str, chosen: object) -> None:
    assert selects(selector, TargetKey("default", "web-1")) is chosen


UPS = {"+": True, "-": False, "?": None}


def record_of(signs: str, diagnosis: Diagnosis | None = None) -> TargetRecord:
    target = Target(key=TargetKey("n", "p"), role=Role.SIDECAR, addresses=())
    ups = [UPS[sign] for sign in signs]
    outcomes = {True: Outcome.OK, False: Outcome.REFUSED, None: Outcome.NO_ACCESS}
    verdicts = tuple(
        Verdict(port, "envoy", up, outcomes[up], View.NETWORK, structural=up is None)
        for port, up in enumerate(ups, 15000)
    )
    return TargetRecord(target=target, verdicts=verdicts, diagnosis=diagnosis)


def cause_of(cause_class: CauseClass) -> Diagnosis:
    return Diagnosis("some", cause_class, "It is.", "Do.")


@pytest.mark.parametrize(
    ("records", "code"),
    [
        ([record_of("+?")], 0),
        ([record_of("+"), record_of("+-")], 1),
        ([record_of("+", diagnosis=cause_of(CauseClass.FAULT))], 1),
        ([record_of("?")], 3),
        ([record_of("?", diagnosis=cause_of(CauseClass.EXPORTER))], 3),
        ([record_of("?"), record_of("+")], 0),
        ([record_of("-", diagnosis=cause_of(CauseClass.TRANSITION))], 0),
        ([record_of("?", diagnosis=cause_of(CauseClass.POLICY))], 3),
        ([record_of("-", diagnosis=cause_of(CauseClass.APPLICATION)), record_of("?")], 0),
        ([], 3),
        ([record_of("+"), None], 3),
        ([record_of("+-"), None], 1),
    ],
    ids=[
        "healthy",
        "a-port-down",
        "a-fault",
        "nothing-judged",
        "our-fault",
        "some",
        "a-rollout",
        "policy-and-nothing-judged",
        "application",
        "none",
        "interrupted",
        "interrupted-after-a-fault",
    ],
)
def test_exit_codes_follow_health(records: list[TargetRecord | None], code: int) -> None:
    assert exit_of(records) == code


@pytest.mark.parametrize(
    ("records", "fail_on", "code"),
    [
        ([record_of("+")], (Health.TRANSITION, Health.POLICY), 0),
        ([record_of("-", diagnosis=cause_of(CauseClass.TRANSITION))], (Health.TRANSITION,), 1),
        ([record_of("-", diagnosis=cause_of(CauseClass.TRANSITION))], (Health.POLICY,), 0),
        ([record_of("?")], (Health.UNJUDGED,), 1),
        ([record_of("+"), record_of("?")], (Health.UNJUDGED,), 1),
    ],
)
def test_fail_on_adds_to_what_fails(
    records: list[TargetRecord], fail_on: tuple[Health, ...], code: int
) -> None:
    assert exit_of(records, fail_on) == code


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a/b/c"], "'a/b/c' is neither a pod, nor namespace/pod, nor deployment/name"),
        (["shop/"], "'shop/' is neither a pod"),
        (["/web-1"], "'/web-1' is neither a pod"),
        (["deployment/shop/web"], "'deployment/shop/web' is neither a pod"),
        (["-n", "shop/web"], "'shop/web' is not the name of a namespace; no wildcards"),
        (["-n", "sh*"], "'sh*' is not the name of a namespace; no wildcards"),
        (["-l", "app==,"], "'app==,' is not a label selector such as app=web"),
    ],
)
def test_what_can_match_nothing_is_refused_before_any_cluster_is_asked(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", *arguments, "--kubeconfig", str(tmp_path / "missing")])
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


def test_fail_on_is_a_list_of_names_and_refuses_others(
    healthy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = configured(tmp_path, healthy)
    assert main(["check", *flags, "--fail-on", "transition,unjudged"]) == 0
    with pytest.raises(SystemExit) as ended:
        main(["check", *flags, "--fail-on", "transition,late"])
    assert ended.value.code == 2
    assert "'late' is none of unjudged, transition, policy, app" in capsys.readouterr().err


def test_flags_of_a_cluster_mean_the_cluster_beside_static_targets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "-n", "shop", *configured(tmp_path, BROKEN)]) == 3
    assert "no kubeconfig was found" in capsys.readouterr().err


def test_watch_polls_again_until_it_is_interrupted(tmp_path: Path) -> None:
    flags = configured(tmp_path, BROKEN)
    file = tmp_path / "exporter.yaml"
    file.write_text(file.read_text().replace("{timeout:", "{interval: 1s, timeout:"))
    command = [sys.executable, "-m", "exporter", "check", "--watch", "-o", "json", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        printed = b""
        while printed.count(b"\n}\n") < 2:
            printed += process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"Traceback" not in errors
    times = [
        json.loads(document + b"\n}")["targets"][0]["polled"]["fast"]
        for document in printed.split(b"\n}\n")[:2]
    ]
    assert times[0] < times[1]


def test_an_interrupt_while_the_api_server_hangs_ends_with_a_word(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        hanging.settimeout(30)
        server = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        cluster = {"name": "c", "cluster": {"server": server}}
        context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
        user = {"name": "u", "user": {"token": "none"}}
        document = {"clusters": [cluster], "contexts": [context], "users": [user]}
        file.write_text(json.dumps({**document, "kind": "Config", "current-context": "x"}))
        command = [sys.executable, "-m", "exporter", "check", "--kubeconfig", str(file)]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            connection, _ = hanging.accept()
            with connection:
                assert connection.recv(1)
                process.send_signal(signal.SIGINT)
                _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (3, b"interrupted\n")


@pytest.mark.parametrize("output", ["table", "wide"])
def test_what_a_terminal_cannot_show_is_printed_by_its_number(tmp_path: Path, output: str) -> None:
    """It ended in a traceback, and with the exit code of an unhealthy target."""
    file = tmp_path / "targets.yaml"
    file.write_text(
        "discovery: {kubernetes: {enabled: false}, static: {targets: "
        "[{namespace: shop, pod: cart, role: agentgateway, address: 127.0.0.9}]}}"
    )
    command = ["check", "--config.file", str(file), "-o", output]
    ended = subprocess.run(
        [sys.executable, "-m", "exporter", *command],
        check=False,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        timeout=60,
    )
    assert ended.returncode == 1
    assert b"\\u2717" in ended.stdout
    assert b"shop/cart" in ended.stdout
    assert ended.stderr == b""
