from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from benchmarks.records import broken_sidecar, healthy_sidecar
from exporter.config import Config, WebConfig
from exporter.model import Memory, Role, Target, TargetRecord
from exporter.poll.poll_target import PollResult

KNOWN = healthy_sidecar(0).target
OPEN = Config(web=WebConfig(probe_unknown_targets=True))


class RecordedPolls:
    """Remembers which targets it polled, and sees nothing."""

    def __init__(self) -> None:
        self.targets = []

    async def __call__(self, target: Target) -> PollResult:
        self.targets.append(target)
        return PollResult(TargetRecord(target=target), Memory(), ())


async def test_a_target_that_is_down_is_an_answer(serve: Any) -> None:
    record = broken_sidecar(1)

    async def look(_target: Target) -> PollResult:
        return PollResult(record, Memory(), ())

    client = await serve(probe=look)
    answer = await client.get(
        "/probe", params={"target": str(record.target.key)}, headers={"Accept-Encoding": ""}
    )
    assert answer.status == 200
    families = {family.name: family for family in parse_text(await answer.text())}
    assert 0.0 in [sample.value for sample in families["istio_port_up"].samples]
    causes = [s.labels["cause"] for s in families["istio_target_diagnosis"].samples]
    assert causes == [record.diagnosis.cause]
    assert not [name for name in families if name.startswith("istio_port_exporter_")]


async def test_openmetrics_is_offered_here_too(serve: Any) -> None:
    client = await serve()
    answer = await client.get(
        "/probe",
        params={"target": str(KNOWN.key)},
        headers={"Accept": "application/openmetrics-text", "Accept-Encoding": ""},
    )
    text = await answer.text()
    assert text.endswith("# EOF\n")
    assert "polls_total" not in text, "one poll is no count"
    assert not [family for family in parse_openmetrics(text) if family.name.endswith("_total")]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"target": str(KNOWN.key)}, (KNOWN.role, KNOWN.istio_version, True)),
        ({"target": KNOWN.addresses[0]}, (KNOWN.role, KNOWN.istio_version, True)),
        ({"target": f"::ffff:{KNOWN.addresses[0]}"}, (KNOWN.role, KNOWN.istio_version, True)),
        (
            {"target": KNOWN.addresses[0], "istio_version": "1.24.1", "captured": "false"},
            (KNOWN.role, "1.24.1", False),
        ),
    ],
    ids=["by-pod", "by-address", "by-address-in-ipv6", "overridden"],
)
async def test_a_known_target_is_polled_with_what_is_known(
    serve: Any, query: dict[str, str], expected: tuple[object, ...]
) -> None:
    polls = RecordedPolls()
    client = await serve(probe=polls)
    assert (await client.get("/probe", params=query)).status == 200
    (target,) = polls.targets
    assert target.key == KNOWN.key
    assert target.settings == KNOWN.settings
    assert (target.role, target.istio_version, target.captured) == expected


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ({}, 400, "target must be an IP address, or namespace/pod of a watched target."),
        ({"target": "example.org"}, 400, "target must be an IP address"),
        ({"target": "fe80::1%a\n'<b>"}, 400, "target must be an IP address"),
        ({"target": "fe80::1%" + "a" * 4000}, 400, "target must be an IP address"),
        ({"target": "192.0.2.1"}, 403, "192.0.2.1 is no target"),
        ({"target": "none/such"}, 404, "No target is named none/such."),
        ({"target": str(KNOWN.key), "role": "boss"}, 400, "role must be one of sidecar, "),
        ({"target": str(KNOWN.key), "captured": "maybe"}, 400, "captured must be true or false."),
        ({"target": str(KNOWN.key), "istio_version": "x"}, 400, "istio_version must be"),
        ({"target": str(KNOWN.key), "port": "1"}, 400, "port is not a parameter; "),
    ],
    ids=[
        "none",
        "name",
        "odd scope",
        "long scope",
        "unknown",
        "no-pod",
        "role",
        "captured",
        "version",
        "parameter",
    ],
)
async def test_bad_parameters_are_refused_with_a_sentence(
    serve: Any, query: dict[str, str], status: int, sentence: str
) -> None:
    polls = RecordedPolls()
    answer = await (await serve(probe=polls)).get("/probe", params=query)
    assert answer.status == status
    assert sentence in await answer.text()
    assert polls.targets == []


@pytest.mark.parametrize("target", ["0.0.0.0", "::", "224.0.0.1", "[ff02::1]", "::ffff:0.0.0.0"])
async def test_an_address_of_no_host_is_refused(serve: Any, target: str) -> None:
    polls = RecordedPolls()
    client = await serve(probe=polls, config=OPEN)
    assert (await client.get("/probe", params={"target": target})).status == 400
    assert polls.targets == []


@pytest.mark.parametrize(
    ("query", "role", "captured"),
    [
        ({"target": "192.0.2.1"}, Role.SIDECAR, True),
        ({"target": "192.0.2.1", "role": "gateway"}, Role.GATEWAY, False),
        ({"target": "[2001:db8::1]", "captured": "0"}, Role.SIDECAR, False),
    ],
)
async def test_unknown_addresses_are_polled_where_that_is_allowed(
    serve: Any, query: dict[str, str], role: Role, captured: Any
) -> None:
    polls = RecordedPolls()
    client = await serve(probe=polls, config=OPEN)
    assert (await client.get("/probe", params=query)).status == 200
    (target,) = polls.targets
    assert target.addresses == (query["target"].strip("[]"),)
    assert (target.role, target.captured) == (role, captured)
    assert not target.trusted
