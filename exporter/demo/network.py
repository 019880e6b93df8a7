"""What a pod's network has to be for a recording to come true: addresses, rules, links. Pure.

In: a state and its target. Out: the texts that `ip -batch` and `iptables-restore` read. The
redirection is Istio's own (tools/istio-iptables/pkg/capture/run.go: 15008 returns first, then
the exclusions or the include list, the rest goes to 15006); what a network policy did comes
before it, in table raw, as a NetworkPolicy does it.
"""

from collections.abc import Iterator

from exporter.catalogue import is_captured
from exporter.demo.recorded_state import RecordedState, RecordedView, Socket
from exporter.demo.script import NOBODY
from exporter.model import Role, Target

_HBONE = 15008


def rules_of(state: RecordedState, target: Target, *, is_ipv6: bool) -> str:
    """What iptables-restore reads of a family, for connects to end as recorded; empty for none."""
    seen = (state.network6 if is_ipv6 else None) or state.network
    sockets = tuple(row for row in state.sockets if _reaches(row, is_ipv6=is_ipv6))
    redirects = is_redirected(state, target, seen)
    rejected = tuple(
        port
        for port, connect in seen.connects.items()
        if connect == "refused" and _accepts(port, target, sockets, redirects=redirects)
    )
    redirection = _redirection(target) if redirects else ""
    drops = "" if seen.is_unreachable else _table("raw", list(_drops(seen)))
    return redirection + drops + _rejects(rejected, seen)


def is_redirected(state: RecordedState, target: Target, seen: RecordedView) -> bool:
    """Whether the pod had its redirection: expected, and the recording does not deny it."""
    if not target.captured:
        return False
    inbound = target.settings.inbound_port
    captured = [port for port in seen.connects if is_captured(port, target) and port != inbound]
    served = {row.port for row in state.sockets if not row.is_loopback}
    nobodys = [seen.connects[port] for port in captured if port not in served]
    denied = bool(nobodys) and all(connect == "refused" for connect in nobodys)
    reached = any(seen.connects[port] == "ok" for port in captured if port in served)
    return not (denied and (reached or seen.connects.get(inbound) == "ok"))


def _reaches(socket: Socket, *, is_ipv6: bool) -> bool:
    if socket.is_loopback:
        return False
    return socket.address == "*" or (":" in socket.address) == is_ipv6


def _accepts(port: int, target: Target, sockets: tuple[Socket, ...], *, redirects: bool) -> bool:
    """Whether the kernel would accept, rules of a policy aside."""
    local = target.settings.inbound_port if redirects and is_captured(port, target) else port
    return any(row.port == local for row in sockets)


def _redirection(target: Target) -> str:
    settings = target.settings
    rule = "-A ISTIO_INBOUND -p tcp"
    if target.role is Role.AMBIENT:
        lines = [f"{rule} -j ISTIO_IN_REDIRECT"]
    elif settings.included_inbound_ports is not None:
        lines = [
            f"{rule} --dport {port} -j ISTIO_IN_REDIRECT"
            for port in settings.included_inbound_ports
        ]
    else:
        own = (15090, 15021, settings.status_port)
        exempt = own if settings.exempt_ports is None else settings.exempt_ports
        ranges = (f"{first}:{last}" for first, last in settings.excluded_inbound_ranges)
        excluded = dict.fromkeys((*exempt, *settings.excluded_inbound_ports, *ranges))
        lines = [f"{rule} --dport {port} -j RETURN" for port in excluded]
        lines.append(f"{rule} -j ISTIO_IN_REDIRECT")
    return "\n".join(
        (
            "*nat",
            ":ISTIO_INBOUND - [0:0]",
            ":ISTIO_IN_REDIRECT - [0:0]",
            "-A PREROUTING -p tcp -j ISTIO_INBOUND",
            f"{rule} --dport {_HBONE} -j RETURN",
            *lines,
            f"-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports {settings.inbound_port}",
            "COMMIT\n",
        )
    )


def _drops(seen: RecordedView) -> Iterator[str]:
    """Drop what timed out; unrecorded ports go the way of the one that nobody serves."""
    match = "-A PREROUTING -i eth0 -p tcp --syn"
    if seen.connects.get(NOBODY) == "timeout":
        for port, connect in seen.connects.items():
            if connect != "timeout":
                yield f"{match} --dport {port} -j ACCEPT"
        yield f"{match} -j DROP"
        return
    for port, connect in seen.connects.items():
        if connect == "timeout":
            yield f"{match} --dport {port} -j DROP"


def _rejects(ports: tuple[int, ...], seen: RecordedView) -> str:
    """Refuse what a policy refused, by the port that was dialled: by a reset, or with ICMP."""
    match = "-A INPUT -i eth0 -p tcp -m conntrack --ctorigdstport"
    lines = [f"{match} {port} -j REJECT --reject-with tcp-reset" for port in ports]
    lines += [
        f"{match} {port} -j REJECT"
        for port, connect in seen.connects.items()
        if connect == "rejected"
    ]
    return _table("filter", lines)


def _table(name: str, lines: list[str]) -> str:
    return "\n".join((f"*{name}", *lines, "COMMIT\n")) if lines else ""
