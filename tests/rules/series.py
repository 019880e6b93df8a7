"""Selectors of the exporter's series, as cases need them."""

from collections.abc import Sequence

from exporter.diagnosis.causes import CAUSES
from exporter.exposition import FAMILIES

LABELS = {family.name: family.labels for family in FAMILIES}


def of(family: str, pod: str, role: str = "sidecar", namespace: str = "shop", **labels: str) -> str:
    """A series of a target; only labels that the family has, and the cluster's."""
    assert set(labels) - {"cluster"} <= set(LABELS[family]), family
    shown = {"namespace": namespace, "pod": pod, "role": role, **labels}
    labels = ",".join(f'{name}="{value}"' for name, value in shown.items())
    return f"{family}{{{labels}}}"


def diagnosis(pod: str, cause: str, role: str = "sidecar", namespace: str = "shop") -> str:
    """A cause, with the class that it has."""
    shown = {"cause": cause, "class": CAUSES[cause].cause_class.value}
    return of("istio_target_diagnosis", pod, role, namespace, **shown)


def info(
    pod: str,
    role: str = "sidecar",
    namespace: str = "shop",
    *,
    node: str = "node-1",
    revision: str = "default",
    version: str = "1.28.1",
    **labels: str,
) -> str:
    """What is known of a target."""
    shown = {"node": node, "revision": revision, "version": version, **labels}
    return of("istio_target_info", pod, role, namespace, **shown)


def ready(pod: str, endpoint: str, role: str = "sidecar", namespace: str = "shop") -> str:
    """Readiness of an endpoint."""
    return of("istio_target_ready", pod, role, namespace, endpoint=endpoint)


def istiod(pod: str, *, revision: str = "default", version: str = "1.28.1") -> str:
    """What is known of an istiod replica."""
    return info(pod, "istiod", "istio-system", revision=revision, version=version)


def istiod_ready(pod: str, endpoint: str = "istiod") -> str:
    """Readiness of an istiod replica."""
    return ready(pod, endpoint, "istiod", "istio-system")


def seconds(minutes: int) -> int:
    """Minutes of a case as promtool's time, which begins at 0."""
    return minutes * 60


def counters(
    pod: str, faulty: Sequence[bool], role: str = "sidecar", **more: str
) -> dict[str, str]:
    """Both counters of a target that is polled twice a minute, by whether it is faulty then."""
    found, values = 0, [0]
    for is_faulty in faulty[1:]:
        found += 2 * is_faulty
        values.append(found)
    return {
        of("istio_target_polls_total", pod, role, **more): f"0+2x{len(faulty) - 1}",
        of("istio_target_faulty_polls_total", pod, role, **more): " ".join(map(str, values)),
    }


def coming_and_going(
    pod: str,
    cause: str,
    role: str = "sidecar",
    namespace: str = "shop",
    *,
    down: int,
    up: int,
    minutes: int,
) -> dict[str, str]:
    """A target with a fault for so many minutes, then none for so many, and so on."""
    faulty = [minute % (down + up) < down for minute in range(minutes + 1)]
    shown = " ".join("1" if is_faulty else "stale" for is_faulty in faulty)
    return {
        diagnosis(pod, cause, role, namespace): shown,
        **counters(pod, faulty, role, namespace=namespace),
    }
