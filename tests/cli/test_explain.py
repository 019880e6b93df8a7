import json
import re

import pytest

from exporter.catalogue import PORTS
from exporter.cli.main import main
from exporter.diagnosis import CAUSES, Cause
from tests.docs.pages import ROOT
from tests.rules.promtool import ALERTS


@pytest.mark.parametrize("cause", CAUSES.values(), ids=lambda cause: cause.id)
def test_a_cause_is_explained_with_each_of_its_advices(
    cause: Cause, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", cause.id]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.startswith(f"{cause.id} ({cause.cause_class}) {cause.sentence} ")
    assert all(advice in printed for advice in (cause.advice, *cause.advices.values()))
    assert f"docs/diagnosis.md#{cause.id}" in printed
    assert main(["explain", cause.id, "-o", "json"]) == 0
    (document,) = json.loads(capsys.readouterr().out)["causes"]
    assert (document["cause"], document["advice"]) == (cause.id, cause.advice)


@pytest.mark.parametrize("written", ["Envoy_Stuck", "envoy stuck", "envoy-stuck"])
def test_a_cause_is_found_however_it_is_written(
    written: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", written]) == 0
    assert capsys.readouterr().out.startswith("envoy_stuck (fault)")


def test_no_cause_has_the_name_of_a_port() -> None:
    assert not {row.name for row in PORTS} & CAUSES.keys()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("envoystuck", "envoy_stuck"),
        ("virtualInbond", "virtualInbound"),
        ("IstioProxyFail", "IstioProxyFault"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_one_that_is_meant(
    written: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", written]) == 2
    printed = capsys.readouterr().err
    assert (
        f"{written!r} is neither a port of Istio nor a cause nor an alert. Did you mean {meant}"
        in printed
    )


@pytest.mark.parametrize("unknown", ["80", "99999", "xyzzy", ""])
def test_what_is_unknown_is_answered_with_all_that_is_known(
    unknown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", unknown]) == 2
    printed = capsys.readouterr().err
    assert f"{unknown!r} is neither a port of Istio nor a cause nor an alert" in printed
    assert all(str(row.number) in printed for row in PORTS)
    assert all(name in printed for name in (*CAUSES, *ALERTS))


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_explained_as_its_runbook_has_it(
    alert: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    section = page.split(f"\n## {alert}\n")[1].split("\n#")[0]
    words = set(re.findall(r"[A-Za-z]{4,}", section.replace("diagnosis.md", "")))
    for written in (alert, alert.lower()):
        assert main(["explain", written]) == 0
        printed = " ".join(capsys.readouterr().out.split())
        assert printed.startswith(f"{alert} (alert) ")
        assert " what to do " in printed
        assert not re.search(r"</?[a-z]+>|&\w+;", printed)
    assert main(["explain", alert, "-o", "json"]) == 0
    (document,) = json.loads(capsys.readouterr().out)["alerts"]
    assert document["name"] == alert
    told = set(re.findall(r"[A-Za-z]{4,}", " ".join((*document["meaning"], *document["advice"]))))
    assert document["meaning"]
    assert document["advice"]
    assert told <= words
