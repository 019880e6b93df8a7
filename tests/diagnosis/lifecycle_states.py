"""Pods that end, are being prepared, lack their proxy, or are a StatefulSet's."""

from typing import Any

from tests.diagnosis.pod_states import (
    APP,
    AUTO,
    BACK_OFF,
    CREATING,
    DARK,
    DRAINING,
    GATEWAY_SEEN,
    HEALTHY,
    MIGRATE,
    OOM,
    PROXY,
    REFUSED,
    REJECTED,
    ROUTER,
    UNPULLED,
    UNSTARTED,
    Document,
    State,
    ended,
    job,
    pod,
    run,
    running,
    sidecar_in,
    waiting,
)
from tests.diagnosis.restart_states import DOWN, LOOP

GRACE_IS_OVER = 61
ENDING, STUCK, HELD = "draining", "deletion_stuck", "job_held_by_sidecar"
DONE, FAILED = ended(run(0, "Completed", ago=10)), ended(run(3, ago=10))
LONG_DONE = ended(run(0, "Completed", ago=200))


def phased(phase: str, *, deleted: float, finalizers: tuple[str, ...] = ()) -> Document:
    """A deleted pod of which all containers have ended."""
    found = pod((APP, DONE), (PROXY, ended()), deleted=deleted, finalizers=finalizers)
    return {**found, "status": {**found["status"], "phase": phase}}


ENDS = [
    State("native sidecar of a Job", ENDING, job(DONE, running(), is_native=True), DRAINING),
    State("of a failed Job", ENDING, job(FAILED, running(), is_native=True), DRAINING, ("code 3",)),
    State("classic sidecar at first", ENDING, job(DONE, running()), HEALTHY, ("app", "Completed")),
    State("classic sidecar stays", HELD, job(LONG_DONE, running()), HEALTHY, ("quitquitquit",)),
    State(
        "classic sidecar stays, no times",
        HELD,
        job(ended({"exitCode": 0, "reason": "Completed"}), running()),
        HEALTHY,
    ),
    State("both have ended", ENDING, job(DONE, ended()), REFUSED),
    State("the sidecar ended later", ENDING, job(LONG_DONE, ended()), REFUSED),
    State("retried on failure", "none", job(FAILED, running(), policy="OnFailure"), HEALTHY),
    State("done, on failure only", HELD, job(LONG_DONE, running(), policy="OnFailure"), HEALTHY),
    State("restarted always", "none", job(LONG_DONE, running(), policy="Always"), HEALTHY),
    State(
        "one of two still works",
        "none",
        pod((APP, LONG_DONE), (MIGRATE, running()), (PROXY, running()), restartPolicy="Never"),
        HEALTHY,
    ),
    State("never ends", "agent_gone", job(LONG_DONE, running(), is_native=True), DRAINING),
    State(
        "a gateway has no work to end",
        "none",
        pod((ROUTER, running()), restartPolicy="Never"),
        GATEWAY_SEEN,
    ),
    State("is deleted", ENDING, sidecar_in(running(), deleted=-25), DRAINING),
    State("is deleted and silent", ENDING, sidecar_in(running(), deleted=-25), DARK),
    State("a minute is not over", ENDING, sidecar_in(running(), deleted=59), REFUSED),
    State(
        "held by a finalizer",
        STUCK,
        sidecar_in(ended(), deleted=GRACE_IS_OVER, finalizers=("example.com/keep",)),
        REFUSED,
        ("example.com/keep",),
    ),
    State(
        "ended and held by a finalizer",
        STUCK,
        phased("Succeeded", deleted=GRACE_IS_OVER, finalizers=("example.com/keep",)),
        [],
        ("example.com/keep",),
    ),
    State("ended and soon gone", ENDING, phased("Failed", deleted=2), []),
    State(
        "held by its containers",
        STUCK,
        sidecar_in(running(), deleted=4000),
        HEALTHY,
        ("app", "istio-proxy"),
    ),
    State("held by nobody", STUCK, sidecar_in(ended(), deleted=90) | {}, REFUSED),
    State("no report on its containers", STUCK, pod((APP, None), (PROXY, None), deleted=90), DARK),
    State(
        "a deleted Job",
        ENDING,
        job(LONG_DONE, running()) | {"metadata": sidecar_in(running(), deleted=-5)["metadata"]},
        HEALTHY,
    ),
]

AUTO_GATEWAY = pod((AUTO, waiting("ImagePullBackOff")), injected=False, age=20)
NAMED_GATEWAY = pod(
    (AUTO, waiting("InvalidImageName")),
    (APP, running()),
    injected=False,
    metadata={"annotations": {"inject.istio.io/templates": "gateway"}},
)

WITHOUT_A_PROXY = [
    State("gateway", "proxy_missing", AUTO_GATEWAY, REFUSED, ("inject", "ImagePullBackOff")),
    State("gateway beside others", "proxy_missing", NAMED_GATEWAY, DARK, ("InvalidImageName",)),
    State("injected gateway", "none", pod((ROUTER, running())), GATEWAY_SEEN),
]

PREPARED = [
    *(
        State(
            f"image is pulled: {why}",
            "starting",
            sidecar_in(waiting(why), age=300),
            REFUSED,
            (why,),
        )
        for why in CREATING
    ),
    *(
        State(f"for too long: {why}", DOWN, sidecar_in(waiting(why), age=700), REFUSED, (why,))
        for why in CREATING
    ),
    *(
        State(f"cannot be made: {why}", DOWN, sidecar_in(waiting(why), age=90), seen, (why,))
        for why in (*UNPULLED, *UNSTARTED)
        for seen in (REFUSED, DARK, REJECTED)
    ),
    State(
        "unknown, refused", DOWN, pod((APP, None), (PROXY, None)), REFUSED, lacks=("does not run",)
    ),
    State(
        "unknown, silent",
        "unreachable",
        pod((APP, None), (PROXY, None)),
        DARK,
        lacks=("does not run",),
    ),
    State("unknown, healthy", "none", pod((APP, None), (PROXY, None)), HEALTHY),
]


def ordinal(status: Document, **more: Any) -> Document:
    """A pod of a StatefulSet, whose name is taken until its node reports that it is gone."""
    found = sidecar_in(status, **more)
    owner = {"kind": "StatefulSet", "name": "cart-db", "controller": True}
    named = {"name": "cart-db-0", "ownerReferences": [owner]}
    return {**found, "metadata": {**found["metadata"], **named}}


LOST = "node_unreachable"
A_DAY = 86_400
STATEFUL = [
    State("StatefulSet serves", "none", ordinal(running()), HEALTHY, node_ready=True),
    State(
        "StatefulSet waits for its volume",
        "starting",
        ordinal(waiting("ContainerCreating"), age=300),
        REFUSED,
        ("ContainerCreating",),
    ),
    State(
        "StatefulSet's volume does not come",
        DOWN,
        ordinal(waiting("ContainerCreating"), age=A_DAY),
        REFUSED,
        ("ContainerCreating",),
    ),
    State("StatefulSet loops", LOOP, ordinal(waiting(BACK_OFF, restarts=9, last=OOM)), REFUSED),
    State(
        "StatefulSet is scaled in, with an hour of grace",
        ENDING,
        ordinal(running(), deleted=-3500),
        DRAINING,
        node_ready=True,
    ),
    State(
        "StatefulSet's pod does not end on a living node",
        STUCK,
        ordinal(running(), deleted=A_DAY),
        REFUSED,
        ("app, istio-proxy",),
        ("its node is not ready",),
        node_ready=True,
    ),
    *(
        State(
            f"StatefulSet's node is lost: {when}",
            LOST,
            ordinal(running(), deleted=deleted),
            DARK,
            node_ready=False,
        )
        for when, deleted in {"not evicted": None, "evicted": -25, "for ever": A_DAY}.items()
    ),
    State(
        "StatefulSet's kubelet alone is lost",
        STUCK,
        ordinal(running(), deleted=A_DAY),
        HEALTHY,
        ("its node is not ready",),
        node_ready=False,
    ),
    State(
        "StatefulSet's node came back and its pod is new",
        "starting",
        ordinal(running(5, ready=False), age=9),
        REFUSED,
        node_ready=True,
    ),
]
