"""No row of the table of causes is dead: each is some state's diagnosis, on every role it names.

The states are those of this folder: examples, the states of a pod's life, workloads in ambient. A
state that is told of one role is laid upon the others too, with and without capture.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from exporter.diagnosis import CAUSES
from exporter.model import Memory, Role, Target
from tests.diagnosis.cases import EXAMPLES, Example
from tests.diagnosis.matrix import NOW, cause_of, seen_by
from tests.diagnosis.pod_states import State, target_in
from tests.diagnosis.test_pod_lifecycle import STATES

APART = 120.0


def as_example(state: State) -> Example:
    target = target_in(state.pod)
    life = replace(target.lifecycle, node_ready=state.node_ready)
    return Example(state.id, state.cause, state.seen, replace(target, lifecycle=life), [state.seen])


KNOWN = (*EXAMPLES, *map(as_example, STATES))


def cause_on(target: Target, example: Example) -> str:
    memory = Memory()
    for index, seen in enumerate(example.earlier):
        at = NOW - APART * (len(example.earlier) - index)
        _, memory = seen_by(seen, target=target, memory=memory, config=example.config, now=at)
    record, _ = seen_by(
        example.seen,
        target=target,
        memory=memory,
        config=example.config,
        in_mesh=example.in_mesh,
    )
    return cause_of(record)


def variants(cause: str, role: Role) -> Iterator[tuple[Target, Example]]:
    """The states of this cause, those of the role itself first."""
    examples = [example for example in KNOWN if example.cause == cause]
    for example in sorted(examples, key=lambda example: example.target.role is not role):
        for captured in (example.target.captured, False):
            yield replace(example.target, role=role, captured=captured), example


@pytest.mark.parametrize("cause", CAUSES)
def test_a_state_has_this_cause_on_each_of_its_roles(cause: str) -> None:
    missed = {
        role
        for role in CAUSES[cause].roles
        if not any(cause_on(*variant) == cause for variant in variants(cause, role))
    }
    assert missed == set()
