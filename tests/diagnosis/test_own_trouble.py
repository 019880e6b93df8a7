"""What the exporter lacks itself (ports, descriptors, memory) is no target's fault."""

from itertools import chain, combinations

import pytest
from msgspec.structs import replace

from exporter.model import CauseClass, Observation, Outcome, Role, Target
from tests.diagnosis.cases import CNI, PROXYLESS, istiod, ztunnel
from tests.diagnosis.matrix import (
    CONTROL,
    GATEWAY,
    SIDECAR,
    cause_of,
    net,
    seen_by,
    sidecar,
    target_of,
)

HEALTHY: dict[str, tuple[Target, list[Observation]]] = {
    "sidecar": (SIDECAR, sidecar()),
    "gateway": (GATEWAY, sidecar(without=(CONTROL, 15006))),
    "istiod": (target_of(Role.ISTIOD), istiod()),
    "ztunnel": (target_of(Role.ZTUNNEL), ztunnel()),
    "istio-cni": (CNI, [net(8000, Outcome.OK), net(15014, Outcome.OK)]),
    "proxyless": (PROXYLESS, [net(15020, Outcome.OK)]),
}


def lacking(seen: Observation) -> Observation:
    detail = "the exporter could not open a connection: Too many open files"
    return replace(
        seen, outcome=Outcome.NO_ACCESS, detail=detail, facts=None, connected=None, seconds=0.0
    )


@pytest.mark.parametrize(("target", "seen"), HEALTHY.values(), ids=HEALTHY)
def test_whatever_could_not_be_probed_for_want_of_our_own_is_no_fault(
    target: Target, seen: list[Observation]
) -> None:
    record, healthy = seen_by(seen, target=target)
    assert cause_of(record) == "none", "this is the healthy one"
    places = range(len(seen))
    subsets = chain.from_iterable(combinations(places, n) for n in range(1, len(seen) + 1))
    for lost in subsets:
        now = [lacking(one) if place in lost else one for place, one in enumerate(seen)]
        for memory in (None, healthy):
            record, _ = seen_by(now, target=target, memory=memory)
            found = record.diagnosis
            assert found is None or found.cause_class is CauseClass.EXPORTER, (lost, found)
            assert not any(v.up is False for v in record.verdicts), lost
            if len(lost) == len(seen):
                assert cause_of(record) == "unknown"
