import pytest

from exporter.demo import SHIPPED, load_states
from exporter.demo.addresses import Addresses, target_of
from exporter.demo.network import rules_of

STATES = {state.name: state for state in load_states(SHIPPED)}


def rules(name: str, *, is_ipv6: bool = False) -> str:
    state = STATES[name]
    target = target_of(state, ("198.18.0.2",), "", 0.0)
    return rules_of(state, target, is_ipv6=is_ipv6)


def test_redirection_is_istios() -> None:
    lines = rules("healthy").splitlines()
    first = next(i for i, line in enumerate(lines) if "ISTIO_INBOUND -p tcp --dport" in line)
    assert lines[first] == "-A ISTIO_INBOUND -p tcp --dport 15008 -j RETURN"
    for port in (15090, 15021, 15020):
        assert f"-A ISTIO_INBOUND -p tcp --dport {port} -j RETURN" in lines
    assert "-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006" in lines


def test_exclusions_return_before_the_redirection() -> None:
    assert "--dport 9999 -j RETURN" in rules("excluded-ports")


@pytest.mark.parametrize(
    "name", ["redirection-missing", "gateway-healthy", "istiod-healthy", "ztunnel-healthy"]
)
def test_what_was_not_redirected_has_no_redirection(name: str) -> None:
    assert "REDIRECT" not in rules(name)


def test_what_timed_out_is_dropped_before_redirection() -> None:
    text = rules("network-policy-drop")
    table, _, rest = text.partition("*raw")[2].partition("COMMIT")
    assert {line.split("--dport ")[1] for line in table.splitlines() if "--dport" in line} == {
        f"{port} -j DROP" for port in (15020, 15021, 15090)
    }
    assert "DROP" not in rest


def test_both_families_are_redirected_where_both_were() -> None:
    assert "REDIRECT" in rules("dual-stack-healthy", is_ipv6=True)


def test_runs_do_not_share_addresses() -> None:
    last, first = Addresses(0).pod(2044), Addresses(1).gateway_of(is_ipv6=False)
    assert (last, first) == ("198.18.7.254", "198.18.8.1")
    assert Addresses(63).pod(2044) == "198.19.255.254"
