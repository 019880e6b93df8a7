import re
from dataclasses import replace

import pytest
from msgspec import structs

from exporter.catalogue import PORTS
from exporter.diagnosis import CAUSES
from exporter.diagnosis.conditions.running_proxy import is_first_poll
from exporter.model import (
    AdminFacts,
    Lifecycle,
    Memory,
    Observation,
    Outcome,
    Role,
    Settings,
    Target,
    WebhookPath,
)
from tests.diagnosis.cases import DARK, EXAMPLES, ISTIOD, TAKEN, Example, debug, istiod
from tests.diagnosis.lifecycle_states import LONG_DONE
from tests.diagnosis.matrix import (
    NOW,
    SIDECAR,
    cause_of,
    dropped,
    inside,
    net,
    seen_by,
    sidecar,
    target_of,
)
from tests.diagnosis.pod_states import HEALTHY, job, running, target_in

DETAIL = 120.0
NO_LISTENERS = AdminFacts(state="LIVE", listeners=())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.id)
def test_names_the_cause_of(example: Example) -> None:
    memory = Memory()
    for index, seen in enumerate(example.earlier):
        at = NOW - DETAIL * (len(example.earlier) - index)
        _, memory = seen_by(
            seen, target=example.target, memory=memory, config=example.config, now=at
        )
    record, _ = seen_by(
        example.seen,
        target=example.target,
        memory=memory,
        config=example.config,
        in_mesh=example.in_mesh,
    )
    assert cause_of(record) == example.cause


def test_each_cause_states_where_it_shows() -> None:
    for cause in CAUSES.values():
        assert cause.shown_on, cause.id
        rows = [row for row in PORTS if cause.shows_on(row)]
        assert {row.name for row in rows} == set(cause.ports), cause.id


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.id)
def test_the_evidence_names_only_ports_on_which_its_cause_shows(example: Example) -> None:
    record, _ = seen_by(example.seen, target=example.target, in_mesh=example.in_mesh)
    if record.diagnosis is None:
        return
    cause = CAUSES[record.diagnosis.cause]
    named = re.findall(r"^(\d{4,5})[: ]", "\n".join(record.diagnosis.evidence), re.MULTILINE)
    assert cause.also or set(named) <= set(cause.shown_on.split(", "))


@pytest.mark.parametrize("role", Role)
def test_a_first_poll_leaves_only_causes_of_the_role_undetected(role: Role) -> None:
    record, memory = seen_by([], target=target_of(role))
    needing_two = {id_ for id_, cause in CAUSES.items() if cause.undetected is is_first_poll}
    assert set(record.undetected) == {id_ for id_ in needing_two if role in CAUSES[id_].roles}
    again, _ = seen_by([], target=target_of(role), memory=memory)
    assert again.undetected == ()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.id)
def test_a_cause_brings_its_evidence(example: Example) -> None:
    record, _ = seen_by(example.seen, target=example.target, in_mesh=example.in_mesh)
    if record.diagnosis is not None:
        assert all(record.diagnosis.evidence)
        assert record.diagnosis.evidence


REMEDIES = {
    "no or an ended token": (debug(401), "audience istio-ca"),
    "not allowed": (debug(403), "DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES"),
    "switched off": (debug(404, Outcome.HTTP_ERROR), "ENABLE_DEBUG_ON_HTTP=true"),
    "not proved": (debug(None, Outcome.TLS_ERROR), "istio-ca-root-cert"),
    "no token to read": (debug(None, Outcome.NO_ACCESS), "istiod.debug_token_file"),
}


@pytest.mark.parametrize(("seen", "remedy"), REMEDIES.values(), ids=REMEDIES)
def test_each_refusal_of_the_debug_interface_has_its_own_remedy(
    seen: Observation, remedy: str
) -> None:
    record, _ = seen_by(istiod(seen), target=ISTIOD)
    assert record.diagnosis is not None
    assert remedy in record.diagnosis.advice


def moved(target: Target, **settings: int) -> Target:
    return replace(target, settings=replace(target.settings, **settings))


MOVED = {
    "istiod's monitoring": (
        moved(ISTIOD, monitoring_port=15114),
        [structs.replace(debug(403), probe=structs.replace(debug(403).probe, port=15114))],
        "15114 answers 403",
    ),
    "the listeners": (
        moved(SIDECAR, outbound_port=16001, inbound_port=16006),
        sidecar(net(15090, Outcome.OK, facts=TAKEN), inside(15000, Outcome.OK, NO_LISTENERS)),
        "16001 and 16006",
    ),
}


@pytest.mark.parametrize(("target", "seen", "words"), MOVED.values(), ids=MOVED)
def test_the_evidence_names_a_port_where_it_was_moved_to(
    target: Target, seen: list[Observation], words: str
) -> None:
    record, _ = seen_by(seen, target=target)
    assert record.diagnosis is not None
    assert words in " ".join(record.diagnosis.evidence)


@pytest.mark.parametrize(
    ("seen", "remedy"),
    [
        (net(15012, Outcome.REFUSED), "PILOT_CERT_PROVIDER"),
        (net(15012, Outcome.TLS_ERROR), "PILOT_CERT_PROVIDER"),
        (net(8080, Outcome.NOT_READY), "API server"),
    ],
)
def test_an_istiod_that_is_ready_without_15012_lacks_its_certificate(
    seen: Observation, remedy: str
) -> None:
    record, _ = seen_by(istiod(seen), target=ISTIOD)
    assert cause_of(record) == "istiod_not_ready"
    assert record.diagnosis is not None
    assert remedy in record.diagnosis.advice


def test_without_a_remedy_of_its_own_the_causes_advice_stands() -> None:
    record, _ = seen_by(istiod(net(15014, Outcome.FORBIDDEN)), target=ISTIOD)
    assert record.diagnosis is not None
    assert record.diagnosis.advice == CAUSES["access_restricted"].advice


def test_a_certificate_that_does_not_verify_is_part_of_the_evidence() -> None:
    why = "its certificate does not verify against the mesh's root: certificate has expired"
    for port in (15012, 15017):
        record, _ = seen_by(
            istiod(net(port, Outcome.TLS_ERROR, detail=why)),
            target=ISTIOD,
        )
        assert record.diagnosis is not None
        assert f"{port}: {why}" in record.diagnosis.evidence


def test_evidence_carries_the_kubelets_words() -> None:
    lifecycle = Lifecycle(
        container_ready=False, node_ready=True, restarts=4, trouble="last ended: OOMKilled"
    )
    record, _ = seen_by(DARK, target=replace(SIDECAR, lifecycle=lifecycle))
    assert record.diagnosis is not None
    assert record.diagnosis.evidence == (
        "no port answers",
        "Kubernetes reports that the container does not run: last ended: OOMKilled",
        "it restarted 4 times",
    )


def tried(outcome: Outcome, *, up: bool | None = False, revision: str = "") -> WebhookPath:
    return WebhookPath(up=up, outcome=outcome, detail="a reason", revision=revision, at=NOW)


CALLS = {
    "refused": (tried(Outcome.REFUSED), istiod(), "webhook_unreachable", "Open 15017"),
    "in no time": (tried(Outcome.TIMEOUT), istiod(), "webhook_unreachable", "Open 15017"),
    "distrusted": (tried(Outcome.TLS_ERROR), istiod(), "webhook_unreachable", "caBundle"),
    "no endpoint": (tried(Outcome.UNREACHABLE), istiod(), "webhook_unreachable", "Service"),
    "failed inside": (tried(Outcome.HTTP_ERROR), istiod(), "webhook_unreachable", "istiod's log"),
    "of this revision": (
        tried(Outcome.REFUSED, revision="canary"),
        istiod(),
        "webhook_unreachable",
        "Open 15017",
    ),
    "of another revision": (tried(Outcome.REFUSED, revision="old"), istiod(), "none", ""),
    "injected": (tried(Outcome.OK, up=True), istiod(), "none", ""),
    "nothing shown": (tried(Outcome.NO_ACCESS, up=None), istiod(), "none", ""),
    "its own port fails too": (
        tried(Outcome.REFUSED),
        istiod(net(15017, Outcome.REFUSED)),
        "webhook_not_serving",
        "serving certificate",
    ),
    "dropped from here alone": (
        tried(Outcome.OK, up=True),
        istiod(dropped(15017)),
        "network_blocked",
        "Allow the exporter to reach",
    ),
    "dropped from here, called of another revision": (
        tried(Outcome.OK, up=True, revision="old"),
        istiod(dropped(15017)),
        "webhook_unreachable",
        "Open 15017",
    ),
    "dropped, and nothing shown": (
        tried(Outcome.NO_ACCESS, up=None),
        istiod(dropped(15017)),
        "webhook_unreachable",
        "Open 15017",
    ),
    "dropped, and distrusted": (
        tried(Outcome.TLS_ERROR),
        istiod(dropped(15017)),
        "webhook_unreachable",
        "caBundle",
    ),
}


@pytest.mark.parametrize(("path", "seen", "cause", "advice"), CALLS.values(), ids=CALLS)
def test_the_api_servers_own_call_counts_where_the_port_answers(
    path: WebhookPath, seen: list[Observation], cause: str, advice: str
) -> None:
    canary = replace(ISTIOD, revision="canary")
    record, _ = seen_by(seen, target=canary, webhook=path)
    assert cause_of(record) == cause
    assert advice in (record.diagnosis.advice if record.diagnosis else "")
    is_told = record.diagnosis and any("a reason" in one for one in record.diagnosis.evidence)
    assert bool(is_told) is (cause == "webhook_unreachable" and path.up is False)


@pytest.mark.parametrize(("seconds", "cause"), [(1.0, "none"), (-1.0, "webhook_unreachable")])
def test_a_dry_run_from_before_an_istiod_ran_says_nothing_of_it(seconds: float, cause: str) -> None:
    made = replace(
        ISTIOD, lifecycle=Lifecycle(container_ready=True, created=NOW, started=NOW + seconds)
    )
    record, _ = seen_by(istiod(), target=made, webhook=tried(Outcome.REFUSED))
    assert cause_of(record) == cause


def test_the_way_to_the_webhook_is_no_sidecars_matter() -> None:
    record, _ = seen_by(sidecar(), webhook=tried(Outcome.REFUSED))
    assert cause_of(record) == "none"


@pytest.mark.parametrize(("value", "is_noted"), [("true", True), ("false", False), ("", False)])
def test_what_istio_cni_has_noted_stands_in_the_evidence_of_a_missing_redirection(
    value: str, is_noted: bool
) -> None:
    target = replace(SIDECAR, labels={"cni.istio.io/uninitialized": value} if value else {})
    bypassed = sidecar(net(15999, Outcome.REFUSED), net(15006, Outcome.CLOSED))
    record, _ = seen_by(bypassed, target=target)
    assert record.diagnosis
    assert record.diagnosis.cause == "redirection_missing"
    assert ("cni.istio.io/uninitialized" in " ".join(record.diagnosis.evidence)) is is_noted


def test_the_advice_has_the_numbers_that_the_ports_of_this_target_have() -> None:
    held = target_in(job(LONG_DONE, running()))
    moved = replace(held, settings=replace(held.settings, status_port=15120))
    istiods = target_of(Role.ISTIOD, settings=Settings(webhooks_port=25017))
    webhook = [*istiod()[:4], dropped(25017)]
    texts = []
    for seen, target in ((HEALTHY, held), (HEALTHY, moved), (webhook, istiods)):
        record, _ = seen_by(seen, target=target)
        assert record.diagnosis
        texts.append(f"{record.diagnosis.sentence} {record.diagnosis.advice}")
    assert "127.0.0.1:15020/quitquitquit" in texts[0]
    assert "127.0.0.1:15120/quitquitquit" in texts[1]
    assert "15017" not in texts[2].replace("25017", "")
    assert "Open 25017" in texts[2]
