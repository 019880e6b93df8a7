"""Cases of the alert about pods that ask for a proxy and have none: they are no targets."""

from tests.rules.promtool import Case, ExpectedAlert
from tests.rules.series import diagnosis, istiod, istiod_ready
from tests.rules.shared_causes import replica_of

NAME = "IstioPodsWithoutProxy"
MISSING, WEBHOOK = {NAME: 1}, {"IstioWebhookDown": 1}


def missing(namespace: str, reason: str = "namespace") -> str:
    """Pods of a namespace, by what asks for their proxy."""
    return f'istio_proxy_missing_pods{{namespace="{namespace}",reason="{reason}"}}'


def shard(number: int, replica: int, values: str) -> dict[str, str]:
    """What a replica of a shard of two counts, and that it is scraped at all."""
    return {
        replica_of(replica, "istio_port_exporter_build_info{}"): values.replace("3", "1"),
        replica_of(replica, "istio_port_exporter_shard_ordinal{}"): f"{number}x60",
        replica_of(replica, missing("shop")): values,
    }


def described(pods: int) -> str:
    """The description of the alert of so many pods."""
    return (
        f"{pods} pods in shop ask for a proxy by their labels or by their namespace's, and have"
        " none: their traffic bypasses the mesh, and with it mTLS and authorisation. Restart those"
        " that are older than the label; where new ones have none either, look at the injection"
        " webhook: whether it selects them, and whether their revision has an istiod."
    )


CASES = (
    Case(
        NAME,
        "fires",
        "pods that are older than their namespace's label",
        {missing("shop"): "7x60", missing("shop", "pod"): "1x60"},
        {29: {}, 32: MISSING, 60: MISSING},
        ExpectedAlert(
            32,
            {"namespace": "shop"},
            described(8),
        ),
    ),
    Case(
        NAME,
        "quiet",
        "a namespace is labelled and its workloads are restarted; a gateway that is a target",
        {missing("shop"): "9x10 5x10 stale", missing("edge", "gateway"): "1x90"},
        {60: {}, 90: {}},
    ),
    Case(
        NAME,
        "trap",
        "the pods of jobs have none, for three minutes of five",
        {missing("jobs"): "1x2 stale _ " * 24},
        {20: {}, 70: MISSING, 119: MISSING},
        unbroken=(70, 119),
    ),
    Case(
        NAME,
        "trap",
        "pods of five namespaces, for the webhook was down: its alert, then one",
        {
            missing("ns-{1..5}"): "_x20 2x120",
            diagnosis(
                "istiod-1", "webhook_not_serving", "istiod", "istio-system"
            ): "_x10 1x60 stale",
            istiod("istiod-1"): "1x140",
            istiod_ready("istiod-1"): "1x140",
        },
        {10: {}, 70: WEBHOOK, 130: MISSING},
    ),
    Case(
        NAME,
        "trap",
        "scrapes of one shard are missed; two replicas of the other count the same pods",
        {
            **shard(0, 0, "3x8 stale stale " * 6),
            **shard(1, 1, "3x60"),
            **shard(1, 2, "3x60"),
        },
        {29: {}, 34: MISSING, 60: MISSING},
        ExpectedAlert(34, {"namespace": "shop"}, described(6)),
        unbroken=(32, 60),
        watched=False,
        replicas=(1,),
    ),
)
