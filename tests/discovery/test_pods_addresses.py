"""Which of a pod's addresses its proxy was configured to serve."""

import pytest

from exporter.discovery.pods import served_addresses
from exporter.model import Role, Settings, Target, TargetKey, TargetRecord
from exporter.report.not_judged import not_judged
from tests.discovery.pod_builders import document, proxy, targets

V4, V6 = "10.0.0.7", "fd00::7"


@pytest.mark.parametrize(
    ("addresses", "role", "dual_stack", "served"),
    [
        ((V4, V6), Role.SIDECAR, False, (V4,)),
        ((V4, V6), Role.GATEWAY, False, (V4,)),
        ((V4, V6), Role.WAYPOINT, False, (V4,)),
        ((V4, V6), Role.SIDECAR, True, (V4, V6)),
        ((V6, V4), Role.SIDECAR, False, (V6, V4)),
        ((V6,), Role.SIDECAR, False, (V6,)),
        ((V4,), Role.SIDECAR, False, (V4,)),
        ((), Role.SIDECAR, False, ()),
        ((V4, V6), Role.ISTIOD, False, (V4, V6)),
        ((V4, V6), Role.ZTUNNEL, False, (V4, V6)),
    ],
)
def test_envoy_serves_the_first_family_unless_it_is_dual_stack(
    addresses: tuple[str, ...], role: Role, *, dual_stack: bool, served: tuple[str, ...]
) -> None:
    assert served_addresses(addresses, role, Settings(dual_stack=dual_stack)) == served


@pytest.mark.parametrize("value", ["true", "false", None])
@pytest.mark.parametrize(
    ("role", "variable", "usual"),
    [("router", "ISTIO_DUAL_STACK", False), ("ztunnel", "IPV6_ENABLED", True)],
)
def test_the_variable_is_read_from_the_pod(
    role: str, variable: str, value: str | None, *, usual: bool
) -> None:
    env = {variable: value} if value else {}
    status = {"podIP": V4, "podIPs": [{"ip": V4}, {"ip": V6}]}
    (target,) = targets(document(proxy(role, env=env), status=status))
    is_on = value == "true" if value else usual
    expected = ((V4, V6), ()) if is_on else ((V4,), (V6,))
    assert (target.addresses, target.unserved_addresses) == expected


def test_traffic_that_bypasses_the_mesh_is_reported_once() -> None:
    records = [
        TargetRecord(
            target=Target(
                key=TargetKey("shop", name),
                role=Role.SIDECAR,
                addresses=(V4,),
                unserved_addresses=(V6,),
            )
        )
        for name in ("cart", "web")
    ]
    (sentence,) = not_judged(records)
    assert sentence.startswith("IPv6 of 2 proxies: traffic of that family bypasses the mesh")


NOBODYS = (
    *("0.0.0.0", "::", "::0", "224.0.0.1", "ff02::1", "255.255.255.255"),
    *("169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254"),
)


@pytest.mark.parametrize("nobodys", NOBODYS)
def test_an_address_that_no_host_has_is_never_connected_to(nobodys: str) -> None:
    status = {"podIP": nobodys, "podIPs": [{"ip": nobodys}, {"ip": V4}]}
    assert [one.addresses for one in targets(document(proxy("router"), status=status))] == [(V4,)]
    status = {"podIP": nobodys}
    assert [one.addresses for one in targets(document(proxy("router"), status=status))] == [()]


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ((V4, V4), (V4,)),
        ((V4, f"::ffff:{V4}"), (V4,)),
        ((f"::ffff:{V4}", V4), (V4,)),
        ((V6, V6.upper()), (V6,)),
        ((V6.upper(), V4, V4), (V6, V4)),
    ],
)
def test_an_address_is_one_however_often_and_in_whatever_way_it_is_written(
    listed: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    container = proxy("router", env={"ISTIO_DUAL_STACK": "true"})
    status = {"podIP": listed[0], "podIPs": [{"ip": address} for address in listed]}
    assert [one.addresses for one in targets(document(container, status=status))] == [expected]
