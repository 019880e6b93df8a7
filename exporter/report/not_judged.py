"""What could not be judged of the targets that were polled, each thing once. Pure."""

from collections.abc import Iterable

from exporter.model import Outcome, Role, Target, TargetKey, TargetRecord, View

_REASONS = {
    Outcome.NO_ACCESS: "listens inside the pod only; give the target a netns to reach it",
    Outcome.CAPTURED: "the pod's redirection accepts for it; give the target a netns to reach it",
}


def not_judged(records: Iterable[TargetRecord]) -> tuple[str, ...]:
    """One sentence for each port, reason or list of causes, whatever the number of targets.

    The same records make the same text, in whatever order their polls ended.
    """
    ports: set[tuple[Role, int, str]] = set()
    without_access: dict[str, dict[TargetKey, None]] = {}
    causes: dict[str, None] = {}
    open_targets = 0
    records = sorted(records, key=lambda record: str(record.target.key))
    for record in records:
        for verdict in record.verdicts:
            if verdict.structural:
                reason = _REASONS.get(verdict.outcome, str(verdict.outcome))
                ports.add((record.target.role, verdict.port, reason))
            elif verdict.outcome is Outcome.NO_ACCESS and verdict.detail:
                without_access.setdefault(verdict.detail, {})[record.target.key] = None
        causes.update(dict.fromkeys(record.undetected))
        open_targets += bool(record.undetected)
    sentences = {f"port {port} ({role}): {reason}": None for role, port, reason in sorted(ports)}
    for detail, keys in without_access.items():
        targets = f"{len(keys)} targets" if len(keys) > 1 else next(iter(keys))
        sentences[f"{targets}: {detail}"] = None
    if causes:
        some = (
            f" for {open_targets} of {len(records)} targets" if open_targets < len(records) else ""
        )
        sentences[f"causes that these polls could not show{some}: {', '.join(causes)}"] = None
    known = [record.target for record in records]
    of_all = (_without_address(known), _without_connect(records), traffic_past_the_mesh(known))
    sentences |= dict.fromkeys(filter(None, of_all))
    return tuple(sentences)


def _without_connect(records: Iterable[TargetRecord]) -> str:
    """Why no plain connect has a result; empty where one has, or nothing was seen in a pod."""
    verdicts = [verdict for record in records for verdict in record.verdicts]
    in_pod = any(verdict.view is View.POD for verdict in verdicts)
    if not in_pod or any(verdict.naive is not None for verdict in verdicts):
        return ""
    return "plain connects: none was tried over the network, only through the pods themselves"


def _without_address(targets: Iterable[Target]) -> str:
    """One sentence on the targets that cannot be probed; empty where there are none."""
    found = [target.key for target in targets if not target.addresses]
    if not found:
        return ""
    if len(found) > 1:
        return f"{len(found)} pods have no address yet: nothing of them can be probed"
    return f"{found[0]} has no address yet: nothing of it can be probed"


def traffic_past_the_mesh(targets: Iterable[Target]) -> str:
    """One sentence on the address families that proxies do not bind; empty where they bind all."""
    unserved = [target.unserved_addresses[0] for target in targets if target.unserved_addresses]
    if not unserved:
        return ""
    families = sorted({f"IPv{6 if ':' in address else 4}" for address in unserved})
    count = f"{len(unserved)} proxies" if len(unserved) > 1 else "1 proxy"
    return (
        f"{' and '.join(families)} of {count}: traffic of that family bypasses the mesh"
        " (ISTIO_DUAL_STACK, or ztunnel's IPV6_ENABLED, is off: they bind one family alone)"
    )
