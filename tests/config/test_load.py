"""Configuration: one bad file a rule with its exact message, and what good ones mean."""

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.catalogue import ExtraPort
from exporter.config import (
    Config,
    ConfigError,
    PollConfig,
    Problem,
    StaticConfig,
    load,
    ordinal_of,
    read_targets,
)
from exporter.config.convert import REQUIRED, Converter, Key, describe, keys_of, leaves
from exporter.config.problems import Document
from exporter.config.yaml_document import read_document
from exporter.discovery.static import load_static
from exporter.model import Expectation, Interception, Role
from exporter.web.api import ROUTES as API
from exporter.web.application import LIFECYCLE
from exporter.web.probe import ROUTES as PROBE
from exporter.web.static_pages import ROUTES as PAGES

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "config"
MESSAGES: dict[str, list[str]] = yaml.safe_load((DATA / "messages.yaml").read_text())
KEYS = dict(leaves(Config))
NOT_REDIRECTED = set(Role) - {Role.SIDECAR, Role.AMBIENT}
DOCUMENTED = {
    row[1]: (row[2], row[3])
    for row in re.finditer(
        r"^\| `(\S+)` \| (.*?) \| (.*?) \| .+ \|$",
        (ROOT / "docs" / "configuration.md").read_text(),
        re.MULTILINE,
    )
}


def write(folder: Path, text: str) -> Path:
    path = folder / "exporter.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", MESSAGES)
def test_bad_file_is_told_what_is_wrong_and_where(name: str) -> None:
    path = DATA / f"invalid-{name}.yaml"
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert [str(problem) for problem in caught.value.problems] == [
        f"{path}{message}" for message in MESSAGES[name]
    ]


@pytest.mark.parametrize(
    "path", sorted({route.path for route in (*API, *LIFECYCLE, *PAGES, *PROBE)})
)
def test_metrics_take_no_path_of_another_page(path: str) -> None:
    with pytest.raises(ConfigError, match="telemetry_path"):
        load(None, {"web.telemetry_path": re.sub(r"{.*?}", "x", path)})


@pytest.mark.parametrize("path", ["/m", "/probes", "/metrics/v1.0_a-b", "/apis"])
def test_metrics_take_any_other_path(path: str) -> None:
    assert load(None, {"web.telemetry_path": path}).web.telemetry_path == path


def test_aliases_may_repeat_what_is_bounded(tmp_path: Path) -> None:
    rows = ["- {pod: p, address: 10.0.0.7, labels: &common {app: web}}"]
    rows += [f"- {{pod: p{row}, address: 10.0.0.7, labels: *common}}" for row in range(50)]
    targets = read_targets(write(tmp_path, "\n".join(rows)))
    assert [target.labels for target in targets] == [{"app": "web"}] * 51


@pytest.mark.parametrize("key", [key.name for key in keys_of(PollConfig)])
def test_a_misspelt_key_is_answered_with_the_one_that_was_meant(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, f"poll: {{{key}z: 1, {'q' * len(key)}: 1}}"))
    misspelt, strange = (problem.message for problem in caught.value.problems)
    assert misspelt == f"unknown key; did you mean {key}?"
    assert f" {key}" in strange
    assert "did you mean" not in strange


def test_a_file_of_another_kind_is_not_searched_for_what_was_meant(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, "\n".join(f"poll{number}: 1" for number in range(1000))))
    hints = [problem for problem in caught.value.problems if "did you mean" in problem.message]
    assert 0 < len(hints) < 100


def test_every_bad_file_has_its_message() -> None:
    files = {path.stem.removeprefix("invalid-") for path in DATA.glob("invalid-*.yaml")}
    assert files == set(MESSAGES)


ENDED_BY_A_LINE = {
    "a path": ('ports: [{port: 9080, role: sidecar, path: "%s"}]', "/health"),
    "a family": ('metrics: {disabled_families: ["%s"]}', "istio_port_up"),
    "an address": ('web: {runbook_url: "%s"}', "https://a.example/b"),
    "an identity": (
        'discovery: {static: {targets: [{address: 10.0.0.1, settings: {identity: "%s"}}]}}',
        "/ns/a/sa/b",
    ),
    "a path of metrics": ('web: {telemetry_path: "%s"}', "/metrics"),
    "a duration": ('poll: {interval: "%s"}', "30s"),
}
"""A block of YAML (`|`) ends with one, and nothing would ever match it."""


@pytest.mark.parametrize(("text", "value"), ENDED_BY_A_LINE.values(), ids=ENDED_BY_A_LINE)
def test_a_text_that_a_line_ends_is_another_text(tmp_path: Path, text: str, value: str) -> None:
    load(write(tmp_path, text % value))
    for end in ("\\n", "\\r\\n", " "):
        with pytest.raises(ConfigError):
            load(write(tmp_path, text % (value + end)))


PATHS_OF_FILES = {
    "targets": 'discovery: {static: {files: ["%s"]}}',
    "a pod": 'discovery: {static: {targets: [{pod: "%s.json"}]}}',
    "a token": 'istiod: {debug_token_file: "%s"}',
}


@pytest.mark.parametrize("name", ["a\\0b", "x" * 300, ".", "nothing/here"])
@pytest.mark.parametrize("text", PATHS_OF_FILES.values(), ids=PATHS_OF_FILES)
def test_a_name_that_no_file_has_is_told(tmp_path: Path, text: str, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_static(load(write(tmp_path, text % name)).discovery.static, tmp_path)


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.yaml"
    with pytest.raises(ConfigError) as caught:
        load(path)
    problem = Problem(str(path), 0, "", "cannot be read: No such file or directory")
    assert caught.value.problems == (problem,)


@given(
    st.one_of(
        st.text(),
        st.sampled_from(["poll", "ports", "web", "shard", "discovery"]).flatmap(
            lambda key: st.text().map(lambda value: f"{key}: {value}")
        ),
    )
)
@example("? [a]\n: b")
@example("poll: !!python/object:os.system {}")
@example("poll: *nobody")
@example("poll: {<<: {interval: 1s}}")
@example("shard: {ordinal: 2026-02-30}")
@example("ports: " + "[" * 2000)
@example("ports: " + "[" * 60000)
@example("poll: !!bool x")
@example("poll: !!timestamp x")
@example("poll: " + "1:" * 300 + "1.0")
@example("poll: {concurrency: 0x" + "F" * 5000 + "}")
@example("web: {listen_address: ':" + "1" * 5000 + "'}")
def test_any_text_is_read_or_refused(text: str) -> None:
    with TemporaryDirectory() as folder, suppress(ConfigError):
        path = Path(folder) / "exporter.yaml"
        path.write_text(text, encoding="utf-8")
        assert isinstance(load(path), Config)


@pytest.mark.parametrize("text", ["", "---\n", "# nothing\n", "poll:\n", "poll: {}\nports: []\n"])
def test_nothing_said_means_the_defaults(tmp_path: Path, text: str) -> None:
    assert load(write(tmp_path, text)) == Config()


def test_no_file_means_the_defaults() -> None:
    assert load(None) == Config()


def test_example_shows_the_defaults() -> None:
    assert load(ROOT / "config" / "exporter.yaml") == Config()


def test_example_names_every_key() -> None:
    example = read_document((ROOT / "config" / "exporter.yaml").read_text(), "example")
    named = {".".join(map(str, path)) for path in example.lines}
    assert {path for path in KEYS if "[]" not in path} <= named


def test_example_targets_load() -> None:
    targets = read_targets(ROOT / "config" / "targets.yaml")
    assert [target.pod for target in targets] == [
        "productpage-v1-abc",
        "reviews-v1-xyz",
        "ratings-v1-def",
        "istiod-abc",
    ]


def test_example_scrape_keeps_the_labels_of_proxies() -> None:
    scrapes = yaml.safe_load((ROOT / "config" / "prometheus.yml").read_text())["scrape_configs"]
    assert [scrape["honor_labels"] for scrape in scrapes] == [True, True]


def test_whole_file_is_read(tmp_path: Path) -> None:
    config = load(
        write(
            tmp_path,
            """
            discovery:
              kubernetes: {enabled: false, namespaces: [shop], roles: [sidecar, istiod]}
              start_grace: 1.5m
              static:
                targets:
                  - {address: 10.0.0.8, netns: 4711, settings: {interception: NONE}}
                  - {pod: a, address: [10.0.0.9, "FD00::9"], labels: {app: web}, captured: false}
            poll: {interval: 500ms, detail_interval: 15s, timeout: 250ms, hello: false}
            access: {loopback: netns, portforward: {per_second: 0.5}}
            ports:
              - {port: 9080, role: sidecar, probe: http, path: /health, component: app}
              - {port: 15008, role: waypoint, expect: absent, label_selector: "app=web,x=y"}
            metrics: {profile: full, disabled_families: [istio_port_outcome]}
            shard: {ordinal: 1, total: 3}
            web: {listen_address: "[::1]:10520"}
            """,
        )
    )
    first, second = config.discovery.static.targets
    assert config.discovery.kubernetes.roles == (Role.SIDECAR, Role.ISTIOD)
    assert config.discovery.start_grace == 90
    assert (first.netns, dict(first.settings)) == ("4711", {"interception": Interception.NONE})
    assert (first.role, first.captured, first.source.line) == (None, None, 7)
    assert second.address == ("10.0.0.9", "fd00::9")
    assert (second.labels, second.captured) == ({"app": "web"}, False)
    assert (config.poll.interval, config.poll.timeout) == (0.5, 0.25)
    assert config.access.portforward.per_second == 0.5
    assert config.ports == (
        ExtraPort(port=9080, role=Role.SIDECAR, probe="http", path="/health", component="app"),
        ExtraPort(
            port=15008,
            role=Role.WAYPOINT,
            expect=Expectation.ABSENT,
            label_selector=(("app", "web"), ("x", "y")),
        ),
    )
    assert config.metrics.disabled_families == ("istio_port_outcome",)
    assert (config.shard.ordinal, config.shard.total) == (1, 3)


def test_included_ports_may_be_none_some_or_all(tmp_path: Path) -> None:
    rows = "\n".join(
        f"- {{pod: p{index}, address: 10.0.0.7, settings: {{included_inbound_ports: {ports}}}}}"
        for index, ports in enumerate(["[]", "[8080]", "null"])
    )
    targets = read_targets(write(tmp_path, rows))
    found = [target.settings["included_inbound_ports"] for target in targets]
    assert found == [(), (8080,), None]


def test_excluded_ports_may_be_ranges(tmp_path: Path) -> None:
    text = "- {address: 10.0.0.7, settings: {excluded_inbound_ranges: ['80:90', '9000:9100']}}"
    (found,) = read_targets(write(tmp_path, text))
    assert found.settings["excluded_inbound_ranges"] == ((80, 90), (9000, 9100))


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "web: {config_file: web.yaml}\n"
        "istiod: {root_cert_file: /ca.pem, debug_token_file: token}\n",
    )
    (tmp_path / "token").write_text("secret")
    config = load(path)
    assert config.istiod.debug_token_file == str(tmp_path / "token")
    assert config.web.config_file == str(tmp_path / "web.yaml")
    assert config.istiod.root_cert_file == "/ca.pem"


def test_paths_of_the_command_line_stay_as_they_are(tmp_path: Path) -> None:
    config = load(write(tmp_path, "web: {config_file: a}"), {"web.config_file": "web.yaml"})
    assert config.web.config_file == "web.yaml"


def test_command_line_wins_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "web: {listen_address: ':1', telemetry_path: /m}\nlog: {level: error}")
    config = load(path, {"web.listen_address": ":2", "log.level": "debug"})
    assert (config.web.listen_address, config.web.telemetry_path) == (":2", "/m")
    assert config.log.level == "debug"


def test_command_line_is_blamed_for_its_own_mistakes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, "log: {level: loud}"), {"log.format": "xml", "shard.size": 3})
    assert sorted(map(str, caught.value.problems)) == [
        f"{tmp_path}/exporter.yaml:1: log.level: 'loud' is not one of debug, info, warning, error",
        "command line: log.format: 'xml' is not one of text, json",
        "command line: shard.size: unknown key; allowed: ordinal, total",
    ]


def test_ordinal_comes_from_the_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_NAME", "exporter-2")
    assert load(write(tmp_path, "shard: {ordinal: auto, total: 3}")).shard.ordinal == 2


def test_ordinal_needs_a_numbered_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_NAME", "exporter-abc")
    with pytest.raises(ConfigError, match=r"auto: 'exporter-abc' is not the name of a Stateful"):
        load(write(tmp_path, "shard: {ordinal: auto, total: 3}"))


def test_takes_the_node_from_our_own_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_NAME", "node-a")

    found = load(write(tmp_path, "discovery: {kubernetes: {node: auto}}"))

    assert found.discovery.kubernetes.node == "node-a"


def test_says_that_our_own_node_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NODE_NAME", raising=False)

    with pytest.raises(ConfigError, match=r"discovery\.kubernetes\.node: auto: NODE_NAME is not"):
        load(write(tmp_path, "discovery: {kubernetes: {node: auto}}"))


def test_ordinal_is_the_number_at_the_end() -> None:
    assert ordinal_of("a-1-exporter-13") == 13


@pytest.mark.parametrize(
    ("text", "got"), [("address: 10.0.0.7", ":1: {}, not a mapping"), ("", ": {}, not nothing")]
)
def test_target_file_has_to_be_a_list(tmp_path: Path, text: str, got: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_targets(path)
    expected = "must be a list, each of it a mapping of keys"
    assert str(caught.value) == f"{path}{got.format(expected)}"


@pytest.mark.parametrize(
    "place", ["address: 10.0.0.7", "pod: cart.yaml", "pod: cart.yaml, address: 10.0.0.7"]
)
@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ("istio_version: latest", "istio_version"),
        ("settings: {loopback_ports: [nonsense]}", "settings.loopback_ports"),
        *((f"role: {role}, captured: true", "captured") for role in sorted(NOT_REDIRECTED)),
    ],
)
def test_a_target_is_checked_wherever_its_address_comes_from(
    tmp_path: Path, place: str, fields: str, key: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_targets(write(tmp_path, f"- {{{place}, {fields}}}"))
    assert [problem.key for problem in caught.value.problems] == [f"[0].{key}"]


@pytest.mark.parametrize("role", sorted(set(Role) - NOT_REDIRECTED))
def test_redirection_may_be_expected_of_roles_that_have_it_by_default(
    tmp_path: Path, role: Role
) -> None:
    (target,) = read_targets(
        write(tmp_path, f"- {{address: 10.0.0.7, role: {role}, captured: true}}")
    )
    (default,) = load_static(StaticConfig(targets=(replace(target, captured=None),)), tmp_path)
    assert (target.captured, default.captured) == (True, True)


def test_target_file_may_be_json(tmp_path: Path) -> None:
    (target,) = read_targets(write(tmp_path, '[\n{"address": "10.0.0.7", "pod": "a"}\n]'))
    assert (target.pod, target.source.line) == ("a", 2)


def test_documentation_names_every_key() -> None:
    assert sorted(DOCUMENTED) == sorted(KEYS)


@pytest.mark.parametrize("path", KEYS)
def test_documented_type_is_the_one_of_the_code(path: str) -> None:
    assert DOCUMENTED[path][0] == describe(KEYS[path].kind)


@pytest.mark.parametrize("path", KEYS)
def test_documented_default_is_the_one_of_the_code(path: str) -> None:
    assert default_of(DOCUMENTED[path][1], KEYS[path]) == KEYS[path].default


def default_of(cell: str, key: Key) -> object:
    """What the documented default would be as a value in the file."""
    if cell == "required":
        return REQUIRED
    if cell == "none":
        return () if key.default == () else ""
    converter = Converter(Document("documentation", None, {}), Path())
    value = converter.value(key.kind, yaml.safe_load(cell.strip("`")), ("default",))
    assert converter.problems == []
    return value


@pytest.mark.parametrize(
    "selector",
    [
        "app=web,tier!=front",
        "app==web",
        "!app , tier",
        "app.kubernetes.io/name in (web, front), x notin (a)",
        "app in ()",
        "n>5",
        "",
    ],
)
def test_whatever_kubernetes_selects_by_is_a_label_selector(selector: str) -> None:
    config = load(None, {"discovery.kubernetes.label_selector": selector})
    assert config.discovery.kubernetes.label_selector == selector
