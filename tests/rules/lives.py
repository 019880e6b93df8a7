"""Series of targets by what happens to them, minute by minute, as an exporter exposes them."""

from collections.abc import Callable, Collection, Sequence

from exporter.diagnosis.causes import CAUSES
from exporter.model import CauseClass
from tests.rules.series import diagnosis, info, of, ready

Span = tuple[int, str]
"""So many minutes of `ok`, `gone` or a cause."""

_ENDPOINTS = {"ztunnel": "ztunnel", "istiod": "istiod", "cni": "cni"}
_UNJUDGED = frozenset(("unreachable", "node_unreachable", "network_blocked", "access_restricted"))
_SERVING = frozenset(
    (
        "admin_exposed",
        "admin_slow",
        "certificate_expired",
        "certificate_not_yet_valid",
        "configuration_rejected",
        "redirection_missing",
        "xds_disconnected",
        "ztunnel_workload_pending",
    )
)


def life(
    pod: str,
    *spans: Span,
    role: str = "sidecar",
    namespace: str = "shop",
    missed: Collection[int] = (),
    restarts: Collection[int] = (),
    **labels: str,
) -> dict[str, str]:
    """The series of one target, or of a range of targets that live alike.

    missed: minutes whose scrape fails. restarts: minutes at which the exporter begins anew, with
    counters at 0.
    """
    states = [state for minutes, state in spans for _ in range(minutes)]

    def shown(value: Callable[[str], int | None]) -> str:
        values = [None if minute in missed else value(state) for minute, state in enumerate(states)]
        return " ".join("stale" if one is None else str(one) for one in values)

    series = {
        info(pod, role, namespace, **labels): shown(lambda s: None if s == "gone" else 1),
        **_counters(pod, states, role, namespace, set(missed), set(restarts)),
    }
    if role != "ambient":
        endpoint = _ENDPOINTS.get(role, "envoy")
        series[ready(pod, endpoint, role, namespace)] = shown(_readiness)
    for cause in dict.fromkeys(set(states) & set(CAUSES)):
        series[diagnosis(pod, cause, role, namespace)] = shown(
            lambda s, cause=cause: 1 if s == cause else None  # type: ignore[misc]
        )
    return series


def _readiness(state: str) -> int | None:
    if state == "gone" or state in _UNJUDGED:
        return None
    return int(state == "ok" or state in _SERVING or state.startswith("webhook"))


def _counters(
    pod: str, states: Sequence[str], role: str, namespace: str, missed: set[int], restarts: set[int]
) -> dict[str, str]:
    """Two polls a minute, from 0 on when the target is found."""
    polls: list[str] = []
    faulty: list[str] = []
    made, found = -2, 0
    for minute, state in enumerate(states):
        is_new = minute in restarts or state == "gone"
        made, found = (-2, 0) if is_new else (made, found)
        made += 0 if state == "gone" else 2
        found += 2 if made > 0 and is_fault(state) else 0
        hidden = minute in missed or state == "gone"
        polls.append("stale" if hidden else str(made))
        faulty.append("stale" if hidden else str(found))
    return {
        of("istio_target_polls_total", pod, role, namespace): " ".join(polls),
        of("istio_target_faulty_polls_total", pod, role, namespace): " ".join(faulty),
    }


def is_fault(state: str) -> bool:
    """Whether this state is a cause of the class fault."""
    return state in CAUSES and CAUSES[state].cause_class is CauseClass.FAULT


def again(minutes: int, *spans: Span) -> tuple[Span, ...]:
    """These spans again and again, for so many minutes."""
    return spans * (minutes // sum(length for length, _ in spans))


def exporter(
    minutes: int,
    missed: Collection[int] = (),
    restarts: Collection[int] = (),
    *,
    job: str = "istio-port-exporter",
    instance: str = "10.0.0.0:10520",
) -> dict[str, str]:
    """What an exporter and Prometheus report of the exporter itself; one instance."""
    labels = f'{{job="{job}",instance="{instance}"}}'

    def shown(value: Callable[[int], int]) -> str:
        return " ".join("stale" if m in missed else str(value(m)) for m in range(minutes))

    begun = [max((r for r in restarts if r <= m), default=-30) for m in range(minutes)]
    return {
        f"up{labels}": " ".join("0" if m in missed else "1" for m in range(minutes)),
        f"istio_port_exporter_build_info{labels}": shown(lambda _: 1),
        f"istio_port_exporter_polls_total{labels}": shown(lambda m: 20 * (m - begun[m])),
        f"process_start_time_seconds{labels}": shown(lambda m: 60 * begun[m]),
        "istio_port_exporter_discovery_synced" + labels.replace("{", '{resource="pods",'): shown(
            lambda _: 1
        ),
    }
