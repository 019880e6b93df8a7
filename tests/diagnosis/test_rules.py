import pytest

from exporter.diagnosis import CAUSES, RULES
from exporter.model import Memory
from tests.diagnosis.cases import EXAMPLES, Example
from tests.diagnosis.matrix import NOW, cause_of, seen_by

DETAIL = 120.0


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


def test_every_cause_is_reached_by_an_example() -> None:
    assert {example.cause for example in EXAMPLES} - {"none"} == set(CAUSES)


def test_every_cause_has_one_rule() -> None:
    assert sorted(rule.cause for rule in RULES) == sorted(CAUSES)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.id)
def test_a_cause_brings_its_evidence(example: Example) -> None:
    record, _ = seen_by(example.seen, target=example.target, in_mesh=example.in_mesh)
    if record.diagnosis is not None:
        assert all(record.diagnosis.evidence)
        assert record.diagnosis.evidence
