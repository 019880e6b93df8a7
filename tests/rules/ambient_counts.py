"""Cases of the alerts that count pods in ambient: many of them, with shards, and with gaps."""

from tests.rules.ambient import ZTUNNEL, admits_hbone, ambient, cause, pods, ztunnel
from tests.rules.promtool import Case, ExpectedAlert
from tests.rules.series import diagnosis, info, of
from tests.rules.shared_causes import replica_of

BLOCKED = "IstioAmbientHboneBlocked"
MISSING = "IstioZtunnelWorkloadsMissing"
BYPASSED = "IstioAmbientRedirectionMissing"
GAPS = "1x3 stale _x1 1x4 stale _x1 1x4 stale _x1 1x4 stale _x1 1x60"
"""An exporter that is not scraped for a minute or two in every six."""


def with_gaps(value: int) -> str:
    """The same of a series that has this value."""
    return GAPS.replace("1x", f"{value}x")


def blocked(namespaces: str) -> dict[str, str]:
    """Workloads of namespaces whose 15008 is blocked."""
    return {
        info("web-{0..1}", "ambient", namespace=namespaces): "1x60",
        diagnosis("web-{0..1}", "network_blocked", "ambient", namespaces): "1x60",
    }


def on_nodes(nodes: str, active: int) -> dict[str, str]:
    """Nodes with 15 pods each, of which their ztunnels serve so many."""
    name = nodes.replace("node", "ztunnel")
    serves = of("istio_proxy_workloads", name, "ztunnel", "istio-system", state="active")
    return {
        ambient("enabled").replace("node-1", nodes): "15x60",
        serves: f"{active}x60",
    }


def shard(
    number: int, values: str, redirection: str = "enabled", replica: int | None = None
) -> dict[str, str]:
    """A shard of two, and how many of node-1's pods it counts."""
    counts = {"shard_ordinal": number, "total_shards": 2}
    replica = number if replica is None else replica
    return {
        **{
            replica_of(replica, f"istio_port_exporter_{name}{{}}"): f"{value}x60"
            for name, value in counts.items()
        },
        replica_of(replica, "istio_port_exporter_build_info{}"): "1x60",
        replica_of(replica, ambient(redirection)): values,
    }


CASES = (
    Case(
        BLOCKED,
        "fires",
        "a policy of the whole mesh: one alert for all namespaces",
        blocked("shop-{1..20}"),
        {9: {}, 12: {BLOCKED: 1}, 60: {BLOCKED: 1}},
        ExpectedAlert(
            12,
            {},
            "15008 of 40 ambient pods in several namespaces is blocked for the exporter, and"
            " perhaps for mesh clients: a NetworkPolicy in ambient has to admit 15008. This one"
            " admits it, and the control port for the exporter; as a namespace's first policy it"
            " refuses everything else. kubectl apply -f - takes it for a namespace: "
            + admits_hbone("NAMESPACE"),
        ),
    ),
    Case(
        BLOCKED,
        "trap",
        "two namespaces have an alert each",
        blocked("shop-{1..2}"),
        {12: {BLOCKED: 2}},
    ),
    Case(
        BLOCKED,
        "trap",
        "no missed scrape begins anew",
        {
            info("web-0", "ambient"): GAPS,
            cause("web-0", "network_blocked"): GAPS,
            "istio_port_exporter_build_info": GAPS,
        },
        {9: {}, 12: {BLOCKED: 1}, 40: {BLOCKED: 1}},
        watched=False,
    ),
    Case(
        BLOCKED,
        "trap",
        "one replica of two is blocked",
        {
            info("web-{0..9}", "ambient"): "1x60",
            replica_of(0, cause("web-{0..9}", "network_blocked")): "1x60",
        },
        {60: {}},
        replicas=(2,),
    ),
    Case(
        MISSING,
        "trap",
        "no missed scrape begins anew",
        {
            ambient("enabled"): with_gaps(15),
            ztunnel("active"): GAPS,
            info("ztunnel-1", "ztunnel", "istio-system"): GAPS,
            "istio_port_exporter_build_info": GAPS,
        },
        {4: {}, 7: {MISSING: 1}, 40: {MISSING: 1}},
        watched=False,
    ),
    Case(
        MISSING,
        "fires",
        "pods that wait on a node, and scrapes that are missed",
        {
            ztunnel("pending"): with_gaps(2),
            info("ztunnel-1", "ztunnel", "istio-system"): GAPS,
            "istio_port_exporter_build_info": GAPS,
        },
        {4: {}, 7: {MISSING: 1}},
        ExpectedAlert(
            7,
            {"node": "node-1"},
            "2 pods of node node-1 are annotated as redirected, or wait, and its ztunnel does not"
            " serve them; it reports ready. Compare istioctl ztunnel-config workload with the"
            " node's pods, read the logs of istio-cni and ztunnel there, and restart the pods that"
            " are missing.",
        ),
        watched=False,
    ),
    Case(
        MISSING,
        "fires",
        "two shards count seven and eight pods, of which ztunnel serves ten",
        {**shard(0, "7x60"), **shard(1, "8x60"), replica_of(1, ztunnel("active")): "10x60"}
        | {replica_of(1, series): values for series, values in ZTUNNEL.items()},
        {4: {}, 7: {MISSING: 1}},
        ExpectedAlert(
            7,
            {"node": "node-1"},
            "5 pods of node node-1 are annotated as redirected, or wait, and its ztunnel does not"
            " serve them; it reports ready. Compare istioctl ztunnel-config workload with the"
            " node's pods, read the logs of istio-cni and ztunnel there, and restart the pods that"
            " are missing.",
        ),
        replicas=(1,),
    ),
    Case(
        MISSING,
        "trap",
        "one shard of two misses scrapes, whose pods are then not counted",
        {**shard(0, with_gaps(7)), **shard(1, "8x60"), replica_of(1, ztunnel("active")): "7x60"}
        | {replica_of(0, "istio_port_exporter_shard_ordinal{}"): with_gaps(0)}
        | {replica_of(1, series): values for series, values in ZTUNNEL.items()},
        {4: {}, 7: {MISSING: 1}, 30: {MISSING: 1}},
        replicas=(1,),
    ),
    Case(
        MISSING,
        "fires",
        "istio-cni finds no pod's namespace on many nodes: one alert",
        {
            **on_nodes("node-{1..9}", active=1),
            **{
                info(f"ztunnel-{n}", "ztunnel", "istio-system", node=f"node-{n}"): "1x60"
                for n in range(1, 10)
            },
        },
        {4: {}, 7: {MISSING: 1}, 60: {MISSING: 1}},
        ExpectedAlert(
            7,
            {},
            "126 pods of several nodes are annotated as redirected, or wait, and its ztunnel does"
            " not serve them; it reports ready. Compare istioctl ztunnel-config workload with the"
            " node's pods, read the logs of istio-cni and ztunnel there, and restart the pods that"
            " are missing.",
        ),
    ),
    Case(
        MISSING,
        "quiet",
        "a busy node: a pod every minute, and ztunnel's page is read every five",
        {
            ambient("enabled"): "10+1x50",
            ztunnel("active"): " ".join(f"{10 + 5 * n}x4" for n in range(10)),
            **ZTUNNEL,
        },
        {45: {}},
    ),
    Case(
        MISSING,
        "trap",
        "a node is drained: its namespaces' pods leave one after another",
        {
            **{
                ambient("enabled").replace("shop", f"shop-{n}"): f"2x{10 + n} stale"
                for n in range(12)
            },
            ztunnel("active"): " ".join(["24x10", *(f"{22 - 2 * n}x0" for n in range(12)), "0x30"]),
            **ZTUNNEL,
        },
        {50: {}},
    ),
    Case(
        MISSING,
        "trap",
        "shards of one do not share a node's pods",
        {**pods("web-{0..9}"), ambient("enabled"): "10x60", ztunnel("active"): "10x60", **ZTUNNEL}
        | {"istio_port_exporter_shard_ordinal": "0x60", "istio_port_exporter_total_shards": "1x60"},
        {60: {}},
    ),
    Case(
        BYPASSED,
        "fires",
        "two shards of two replicas each count two and three pods",
        {
            series: values
            for replica, (number, count) in enumerate(((0, 2), (0, 2), (1, 3), (1, 3)))
            for series, values in shard(number, f"{count}x60", "missing", replica).items()
        },
        {4: {}, 7: {BYPASSED: 1}, 60: {BYPASSED: 1}},
        ExpectedAlert(
            7,
            {"namespace": "shop", "node": "node-1"},
            "5 pods of shop on node node-1 are enrolled in ambient but their traffic is not"
            " redirected. Check istio-cni there, then restart the pods.",
        ),
        replicas=(1,),
    ),
)
