"""Rendering records, joining blocks, and reading the result back with other people's parsers."""

import itertools
import subprocess
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from benchmarks.exposition import Figures, measure, report
from benchmarks.records import NOW, broken_sidecar, healthy_sidecar, istiod, seen_from_pod, ztunnel
from exporter.exposition import (
    FAMILIES,
    PROFILES,
    Family,
    assemble,
    render,
    render_cluster,
    selected,
)
from exporter.exposition.text_format import TARGETS_PER_CHUNK, escaped, no_samples, number
from exporter.model import (
    Cadence,
    CertificateValidity,
    ClusterRecord,
    IstiodFacts,
    ListeningSocket,
    Outcome,
    ProxyStatus,
    Role,
    Target,
    TargetKey,
    TargetRecord,
    Verdict,
    View,
    WebhookPath,
)

RICH = (
    healthy_sidecar(),
    seen_from_pod(healthy_sidecar(1)),
    broken_sidecar(2),
    istiod(),
    ztunnel(),
)
CLUSTER = ClusterRecord(
    ambient_pods={("ns", "node-1", "missing"): 2},
    missing_proxies={("ns", "namespace"): 3},
    webhook_path=WebhookPath(up=False, outcome=Outcome.TIMEOUT, detail="late"),
)
OWN_LABELS = {"namespace", "pod", "role"}


def bare(**fields: object) -> TargetRecord:
    target = Target(key=TargetKey("ns", "pod"), role=Role.SIDECAR, addresses=("10.0.0.1",))
    return TargetRecord(target=target, **fields)


def lines(record: TargetRecord, name: str, profile: str = "full") -> list[str]:
    """The family's sample lines without the name and the target's own labels."""
    families = [family for family in selected(profile) if family.name == name]
    text = render(record, families)[0].decode()
    own = f'{name}{{namespace="ns",pod="pod",role="sidecar"'
    assert all(line.startswith(own) for line in text.splitlines())
    return [line.removeprefix(own).lstrip(",") for line in text.splitlines()]


def page(profile: str = "full") -> str:
    """Every family with a sample: some targets, and a cluster."""
    families = selected(profile)
    blocks = [render(record, families) for record in RICH]
    blocks.append(render_cluster(CLUSTER, families))
    return b"".join(assemble(families, blocks, openmetrics=False)).decode()


def text_of(records: tuple[TargetRecord, ...], profile: str = "full", **options: object) -> str:
    families = selected(profile)
    blocks = [render(record, families) for record in records]
    return b"".join(assemble(families, blocks, **{"openmetrics": False, **options})).decode()


def series(record: TargetRecord, profile: str) -> int:
    return b"".join(render(record, selected(profile))).count(b"\n")


# --- what a record says ----------------------------------------------------------------------


def verdict(outcome: Outcome, *, up: bool | None, **more: object) -> Verdict:
    return Verdict(15021, "envoy", up=up, outcome=outcome, view=View.NETWORK, **more)


PORT = 'port="15021",component="envoy"'


@pytest.mark.parametrize(
    ("row", "up", "unjudged", "outcome"),
    [
        pytest.param(verdict(Outcome.OK, up=True), ["1"], [], [], id="answers"),
        pytest.param(
            verdict(Outcome.NOT_READY, up=True), ["1"], [], ["not_ready"], id="answers-not-ready"
        ),
        pytest.param(verdict(Outcome.REFUSED, up=False), ["0"], [], ["refused"], id="refused"),
        pytest.param(
            verdict(Outcome.CAPTURED, up=None), [], ["captured"], [], id="only-the-redirect"
        ),
        pytest.param(
            verdict(Outcome.CAPTURED, up=None, structural=True), [], [], [], id="structural"
        ),
        pytest.param(
            verdict(Outcome.TLS_ERROR, up=None), [], ["tls_error"], [], id="unjudged-by-an-answer"
        ),
    ],
)
def test_a_verdict_is_exposed_once_in_its_family(
    row: Verdict, up: list[str], unjudged: list[str], outcome: list[str]
) -> None:
    record = bare(verdicts=(row,))

    assert lines(record, "istio_port_up") == [f"{PORT}}} {value}" for value in up]
    assert lines(record, "istio_port_unjudged") == [
        f'{PORT},reason="{reason}"}} 1' for reason in unjudged
    ]
    assert lines(record, "istio_port_outcome") == [
        f'{PORT},outcome="{name}"}} 1' for name in outcome
    ]


def test_an_exposed_port_has_a_sample() -> None:
    record = bare(verdicts=(verdict(Outcome.OK, up=True, exposed=True),))

    assert lines(record, "istio_port_exposed") == [f"{PORT}}} 1"]


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.REFUSED, Outcome.NO_ACCESS])
def test_a_judged_port_has_the_duration_of_its_probe_if_it_had_one(outcome: Outcome) -> None:
    judged = (verdict(outcome, up=None if outcome is Outcome.NO_ACCESS else outcome is Outcome.OK),)
    probed = bare(verdicts=judged, durations={15021: 0.25})

    is_judged = judged[0].up is not None
    name = "istio_port_probe_duration_seconds"
    assert lines(probed, name) == [f"{PORT}}} 0.25"] * is_judged
    assert lines(bare(verdicts=judged), name) == []


@pytest.mark.parametrize(
    ("name", "proxy", "expected"),
    [
        ("istio_proxy_captured", {"captured": False}, ["} 0"]),
        ("istio_proxy_envoy_live", {"envoy_live": True}, ["} 1"]),
        ("istio_proxy_xds_connected", {"xds_connected": False}, ["} 0"]),
        ("istio_proxy_xds_known", {"xds_known": True}, ["} 1"]),
        ("istio_proxy_listeners", {"listeners": {"warming": 2}}, ['state="warming"} 2']),
        ("istio_proxy_listener_bound", {"bound": {"v": False}}, ['listener="v"} 0']),
        ("istio_proxy_xds_rejected", {"rejected": {"lds": True}}, ['resource="lds"} 1']),
        ("istio_proxy_xds_updates_total", {"updates": {"cds": 7.0}}, ['resource="cds"} 7.0']),
        ("istio_proxy_xds_rejects_total", {"rejects": {"cds": 2.0}}, ['resource="cds"} 2.0']),
        ("istio_proxy_xds_synced", {"xds_synced": {"eds": False}}, ['resource="eds"} 0']),
        (
            "istio_proxy_agent_scrape_failures_total",
            {"agent_scrape_failures": {"envoy": 3.0}},
            ['source="envoy"} 3.0'],
        ),
    ],
)
def test_what_is_known_of_a_proxy_has_samples_and_the_rest_has_none(
    name: str, proxy: dict[str, object], expected: list[str]
) -> None:
    assert lines(bare(proxy=ProxyStatus(**proxy)), name) == expected
    assert lines(bare(), name) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("istio_control_plane_connected_proxies", ["} 812.0"]),
        ("istio_control_plane_xds_rejects_total", ['resource="lds"} 2.0']),
        ("istio_control_plane_push_errors_total", ["} 4.0"]),
        ("istio_control_plane_info", ['revision="",version="1.28.3"} 1']),
    ],
)
def test_an_istiod_replica_tells_what_it_counts(name: str, expected: list[str]) -> None:
    facts = IstiodFacts(
        version="1.28.3", connected_proxies=812.0, xds_rejects={"lds": 2.0}, push_errors=4.0
    )

    assert lines(bare(control_plane=facts), name) == expected
    assert lines(bare(control_plane=IstiodFacts()), name) == []
    assert lines(bare(), name) == []


@pytest.mark.parametrize("is_trusted", [True, False])
def test_of_istiods_alone_shows_whether_they_count(*, is_trusted: bool) -> None:
    def text(role: Role) -> str:
        key = TargetKey("ns", "pod")
        target = Target(key=key, role=role, addresses=(), revision="a", trusted=is_trusted)
        (family,) = (one for one in FAMILIES if one.name == "istio_control_plane_trusted")
        return render(TargetRecord(target=target), (family,))[0].decode()

    assert text(Role.ISTIOD).endswith(f',role="istiod",revision="a"}} {int(is_trusted)}\n')
    assert text(Role.GATEWAY) == ""


@pytest.mark.parametrize("reported", ["1.28.10", "OSSM_2.6.1-1.28.10-abcdef-Clean", "v1.28.10-x"])
def test_the_plain_version_that_an_istiod_reports_joins_its_info_and_its_targets(
    reported: str,
) -> None:
    record = bare(control_plane=IstiodFacts(version=reported))

    for name in ("istio_target_info", "istio_control_plane_info"):
        (line,) = lines(record, name)
        assert 'version="1.28.10"' in line


def test_an_istiod_that_knows_no_version_of_its_own_has_that_of_its_image() -> None:
    record = bare(control_plane=IstiodFacts(version="unknown-unknown-unknown"))
    record = structs.replace(record, target=replace(record.target, istio_version="1.28.3"))

    for name in ("istio_target_info", "istio_control_plane_info"):
        (line,) = lines(record, name)
        assert 'version="1.28.3"' in line


def test_a_target_without_an_address_still_has_its_info() -> None:
    target = Target(key=TargetKey("ns", "pod"), role=Role.SIDECAR, addresses=())

    assert lines(TargetRecord(target=target), "istio_target_info") == [
        'ip="",node="",workload="",version="",revision="",cluster_id="",native_sidecar="false"} 1'
    ]


def test_a_series_that_comes_twice_is_rendered_once() -> None:
    twice = ListeningSocket(port=15053, address="127.0.0.1", process="pilot-agent")
    record = bare(listening=(twice, structs.replace(twice, protocol="udp")))

    assert lines(record, "istio_port_listening") == [
        'port="15053",component="",address="127.0.0.1",process="pilot-agent"} 1'
    ]


# --- profiles --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "network", "pod"), [("minimal", 12, 14), ("standard", 20, 22), ("full", 39, 57)]
)
def test_a_healthy_sidecar_has_few_series(profile: str, network: int, pod: int) -> None:
    record = healthy_sidecar()

    assert series(record, profile) == network
    assert series(seen_from_pod(record), profile) == pod


def test_the_standard_profile_keeps_its_promise_of_22_series() -> None:
    assert series(healthy_sidecar(), "standard") <= 22
    assert series(seen_from_pod(healthy_sidecar()), "standard") <= 22


def test_each_profile_has_what_the_one_before_it_has() -> None:
    names = [{family.name for family in selected(profile)} for profile in PROFILES]

    assert names[0] < names[1] < names[2] == {family.name for family in FAMILIES}


def test_a_family_is_either_of_targets_or_of_the_cluster() -> None:
    for family in FAMILIES:
        assert (family.samples is no_samples) != (family.cluster_samples is no_samples), family.name


def test_a_disabled_family_is_left_out() -> None:
    assert {family.name for family in selected("full", ["istio_port_up"])} == {
        family.name for family in FAMILIES if family.name != "istio_port_up"
    }


def test_brief_families_show_only_what_is_wrong() -> None:
    owner = ListeningSocket(port=15020, address="*", process="python3")
    fine = ListeningSocket(port=15021, address="*", process="envoy")
    stolen = Verdict(15020, "pilot-agent", up=False, outcome=Outcome.TIMEOUT, view=View.POD)
    record = bare(
        verdicts=(stolen, verdict(Outcome.OK, up=True)),
        listening=(fine, owner),
        proxy=ProxyStatus(
            bound={"in": True, "out": False},
            xds_synced={"cds": True, "lds": False},
            agent_scrape_failures={"envoy": 0.0, "application": 1.0},
        ),
        polled={Cadence.FAST: 1.0, Cadence.IDENTITY: 2.0},
    )

    def told(name: str) -> list[str]:
        return lines(record, name, "standard")

    assert told("istio_port_listening") == [
        'port="15020",component="pilot-agent",address="*",process="python3"} 1'
    ]
    assert told("istio_proxy_listener_bound") == ['listener="out"} 0']
    assert told("istio_proxy_xds_synced") == ['resource="lds"} 0']
    assert told("istio_proxy_agent_scrape_failures_total") == ['source="application"} 1.0']
    assert told("istio_target_last_poll_timestamp_seconds") == ['cadence="fast"} 1.0']


def test_brief_certificates_come_from_the_best_source_with_matching_labels() -> None:
    def life(certificate: str, source: str, *, begins: float | None) -> CertificateValidity:
        return CertificateValidity(
            certificate=certificate, source=source, not_after=9.0, not_before=begins
        )

    record = bare(
        certificates=(
            life("workload", "agent", begins=None),
            life("workload", "wire", begins=1.0),
            life("workload", "admin", begins=2.0),
            life("root", "agent", begins=None),
            life("root", "admin", begins=0.5),
            life("serving", "elsewhere", begins=3.0),
        )
    )
    expiry = "istio_target_certificate_expiry_timestamp_seconds"
    not_before = "istio_target_certificate_not_before_timestamp_seconds"

    assert lines(record, expiry, "standard") == [
        'certificate="workload",source="wire"} 9.0',
        'certificate="root",source="admin"} 9.0',
        'certificate="serving",source="elsewhere"} 9.0',
    ]
    assert lines(record, not_before, "standard") == [
        'certificate="workload",source="wire"} 1.0',
        'certificate="serving",source="elsewhere"} 3.0',
    ]
    assert len(lines(record, expiry)) == 6
    assert len(lines(record, not_before)) == 4


# --- the format ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "1"),
        (False, "0"),
        (3, "3"),
        (0.5, "0.5"),
        (float("nan"), "NaN"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
    ],
)
def test_numbers_are_written_as_both_formats_read_them(value: float, expected: str) -> None:
    assert number(value) == expected


def test_backslash_quote_and_line_feed_are_escaped() -> None:
    assert escaped('a\\b"c\nd') == 'a\\\\b\\"c\\nd'
    assert escaped("grün ✓") == "grün ✓"


def test_a_lone_surrogate_does_not_break_the_page() -> None:
    record = bare(spiffe_id="spiffe://\udc80")

    assert lines(record, "istio_target_identity_info") == ['spiffe_id="spiffe://?"} 1']


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(namespace=ANY_TEXT, pod=ANY_TEXT, workload=ANY_TEXT, component=ANY_TEXT)
@settings(max_examples=150, deadline=None)
def test_any_label_value_survives_the_way_through_both_formats(
    namespace: str, pod: str, workload: str, component: str
) -> None:
    target = Target(
        key=TargetKey(namespace, pod), role=Role.GATEWAY, addresses=(), workload=workload
    )
    up = Verdict(15021, component, up=True, outcome=Outcome.OK, view=View.NETWORK)
    record = TargetRecord(target=target, verdicts=(up,))
    own = {"namespace": namespace, "pod": pod, "role": "gateway"}

    for text, parse in (
        (text_of((record,)), parse_text),
        (text_of((record,), openmetrics=True) + "# EOF\n", parse_openmetrics),
    ):
        samples = {family.name: family.samples for family in parse(text)}
        assert samples["istio_port_up"][0].labels == own | {"port": "15021", "component": component}
        assert samples["istio_target_info"][0].labels["workload"] == workload


def test_every_family_is_read_back_with_its_type_its_labels_and_its_values() -> None:
    parsed = {family.name: family for family in parse_text(page())}

    for family in FAMILIES:
        name = family.name.removesuffix("_total") if family.type == "counter" else family.name
        read = parsed.pop(name)
        assert (read.type, read.documentation) == (family.type, family.help)
        assert read.samples
        own = set() if family.samples is no_samples else OWN_LABELS
        for sample in read.samples:
            assert sample.name == family.name
            assert set(sample.labels) == own | set(family.labels)
    assert not parsed


def test_openmetrics_has_the_same_samples() -> None:
    text = text_of(RICH, openmetrics=True) + "# EOF\n"

    assert [
        (sample.name, sample.labels, sample.value)
        for family in parse_openmetrics(text)
        for sample in family.samples
    ] == [
        (sample.name, sample.labels, sample.value)
        for family in parse_text(text_of(RICH))
        for sample in family.samples
    ]


@pytest.mark.parametrize("profile", PROFILES)
def test_promtool_has_nothing_to_object(profile: str) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=page(profile),
        text=True,
        capture_output=True,
        check=False,
    )

    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


# --- all targets together --------------------------------------------------------------------


def two_families() -> tuple[Family, ...]:
    wanted = {"istio_port_up", "istio_proxy_xds_updates_total"}
    return tuple(family for family in FAMILIES if family.name in wanted)


def test_each_family_comes_once_with_its_header_before_all_its_samples() -> None:
    blocks = [(b"up 1\n", b"updates 1\n"), (b"", b""), (b"up 2\n", b"updates 2\n")]
    up, updates = two_families()
    text = b"".join(assemble((up, updates), blocks, openmetrics=False)).decode()

    assert text.splitlines() == [
        f"# HELP istio_port_up {up.help}",
        "# TYPE istio_port_up gauge",
        "up 1",
        "up 2",
        f"# HELP istio_proxy_xds_updates_total {updates.help}",
        "# TYPE istio_proxy_xds_updates_total counter",
        "updates 1",
        "updates 2",
    ]


def test_openmetrics_names_a_counter_without_its_suffix() -> None:
    text = b"".join(assemble(two_families(), [(b"", b"x_total 1\n")], openmetrics=True))

    assert b"# TYPE istio_proxy_xds_updates counter\nx_total 1\n" in text


def test_a_family_without_samples_has_no_header() -> None:
    assert list(assemble(two_families(), [(b"", b"")], openmetrics=False)) == [b"", b""]
    assert list(assemble(two_families(), [], openmetrics=False)) == []


@pytest.mark.parametrize("name", ["istio_proxy_xds_updates_total", "istio_proxy_xds_updates"])
def test_a_choice_of_names_leaves_the_other_families_out(name: str) -> None:
    blocks = [(b"up 1\n", b"updates 1\n")]
    text = b"".join(assemble(two_families(), blocks, openmetrics=False, names=frozenset({name})))

    assert b"updates 1\n" in text
    assert b"up 1\n" not in text


@pytest.mark.parametrize("filled", [(), (0,), (1,), (0, 1)])
def test_many_targets_come_in_chunks_and_none_is_lost(filled: tuple[int, ...]) -> None:
    """Empty ones too: most families have no sample of a healthy mesh, and take their time."""
    count = 2 * TARGETS_PER_CHUNK + 1
    blocks = [
        tuple(b"%d\n" % index if family in filled else b"" for family in range(2))
        for index in range(count)
    ]
    chunks = list(assemble(two_families(), iter(blocks), openmetrics=False))

    assert [bool(chunk) for chunk in chunks] == [at // 3 in filled for at in range(6)]
    assert b"".join(chunks).count(b"# TYPE") == len(filled)
    for family in filled:
        text = b"".join(chunks[3 * family : 3 * family + 3])
        assert text.endswith(b"".join(block[family] for block in blocks))


def test_blocks_come_in_the_order_of_the_families() -> None:
    families = selected("full")
    blocks = list(zip(families, render(broken_sidecar(), families), strict=True))
    assert sum(bool(block) for _, block in blocks) > 5
    for family, block in blocks:
        assert all(line.startswith(f"{family.name}{{") for line in block.decode().splitlines())


# --- the benchmark ---------------------------------------------------------------------------


def test_the_benchmark_times_both_on_the_same_samples() -> None:
    figures = measure(targets=300, rounds=1)

    assert figures.samples == 300 * series(healthy_sidecar(), "standard")
    assert figures.ratio > 10
    assert 0 < figures.hold_seconds <= figures.ours_seconds


def test_the_benchmark_says_which_limits_hold() -> None:
    figures = Figures(
        ratio=80.0,
        hold_seconds=0.03,
        ours_seconds=0.1,
        theirs_seconds=8.0,
        render_seconds=4e-5,
        samples=1,
        size=int(NOW),
    )

    assert report(figures) == [
        "BENCH exposition_ratio 80 50 holds",
        "BENCH exposition_hold_seconds 0.03 0.02 short",
    ]


@pytest.mark.parametrize("field", TargetRecord.__struct_fields__)
def test_blocks_that_are_taken_over_are_those_that_rendering_gives(field: str) -> None:
    families = selected("full")
    for record, other in itertools.permutations((*RICH, bare()), 2):
        later = structs.replace(record, **{field: getattr(other, field)})
        last = (record, render(record, families))
        assert render(later, families, last) == render(later, families)


def test_a_record_that_differs_in_its_times_alone_is_rendered_in_part() -> None:
    families = selected("full")
    record = healthy_sidecar()
    later = structs.replace(record, polled={Cadence.FAST: 1_700_000_900.0}, durations={})
    blocks = render(record, families)
    renewed = render(later, families, (record, blocks))
    taken = {family.name for family, a, b in zip(families, blocks, renewed, strict=True) if a is b}
    assert taken == {family.name for family in families if not family.timed}
