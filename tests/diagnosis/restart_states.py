"""Pods whose proxy restarts: again and again, once, or with its node."""

from exporter.model import Outcome
from tests.diagnosis.matrix import all_of
from tests.diagnosis.pod_states import (
    BACK_OFF,
    DARK,
    HEALTHY,
    MIGRATE,
    NATIVE,
    OOM,
    REFUSED,
    REJECTED,
    ROUTER,
    Document,
    State,
    ended,
    native,
    pod,
    run,
    running,
    sidecar_in,
    waiting,
)

ISTIOD_PORTS = (8080, 15010, 15012, 15014, 15017)
SEEN_OF = {
    "istiod": all_of(Outcome.REFUSED, ISTIOD_PORTS),
    "ztunnel": all_of(Outcome.REFUSED, (15020, 15021)),
    "cni": all_of(Outcome.REFUSED, (8000, 15014)),
}


def component(role: str, status: Document) -> Document:
    """A pod of the control plane or of the node."""
    container, labels = {
        "istiod": ({"name": "discovery", "image": "istio/pilot:1.28.1"}, {"app": "istiod"}),
        "ztunnel": ({"name": "istio-proxy", "args": ["proxy", "ztunnel"]}, {"app": "ztunnel"}),
        "cni": ({"name": "install-cni", "image": "istio/install-cni:1.28.1"}, {}),
    }[role]
    return pod((container, status), injected=False, metadata={"labels": labels})


LOOP = "crash_looping"
DOWN = "proxy_not_running"
REBOOT = run(255, "Unknown", seconds=60)


def looping(last: Document, *, restarts: int = 2) -> Document:
    return sidecar_in(waiting(BACK_OFF, restarts=restarts, last=last))


def again(last: Document, *, age: float = 5, restarts: int = 2, ready: bool = False) -> Document:
    return sidecar_in(running(age, ready=ready, restarts=restarts, last=last))


RESTARTS = [
    State("waits", LOOP, looping(OOM), REFUSED, ("OOMKilled", "137", "2 times", "after 12 s")),
    State("waits in the dark", LOOP, looping(run(1)), DARK, ("exit code 1",)),
    State("behind a wall", LOOP, looping(run(1)), REJECTED),
    State("runs again", LOOP, again(OOM), REFUSED, ("OOMKilled", "runs again")),
    State("happens to answer", LOOP, again(OOM, age=599, ready=True), HEALTHY),
    State("killed by its probe", LOOP, again(run(143)), REFUSED, ("exit code 143",)),
    State("has just ended", LOOP, sidecar_in(ended(OOM, restarts=2)), REFUSED),
    State(
        "cannot be executed",
        LOOP,
        sidecar_in(
            waiting(
                "RunContainerError",
                restarts=2,
                last={
                    "exitCode": 128,
                    "reason": "StartError",
                    "startedAt": "1970-01-01T00:00:00Z",
                    "finishedAt": OOM["finishedAt"],
                },
            )
        ),
        REFUSED,
        ("StartError",),
    ),
    State("no times", LOOP, looping({"exitCode": 1, "reason": "Error"}, restarts=9), REFUSED),
    *(
        State(
            f"{name} times",
            LOOP,
            looping(run(1) | dict.fromkeys(("startedAt", "finishedAt"), text)),
            REFUSED,
        )
        for name, text in {"null": None, "unset": "0001-01-01T00:00:00Z", "unreadable": "?"}.items()
    ),
    State(
        "the kubelet has lost its last run",
        LOOP,
        sidecar_in(waiting(BACK_OFF, restarts=2)),
        REFUSED,
    ),
    State(
        "it has lost one that was the first",
        DOWN,
        sidecar_in(waiting(BACK_OFF, restarts=1)),
        REFUSED,
    ),
    State("a child is killed", LOOP, looping(run(0, "OOMKilled")), REFUSED, ("OOMKilled",)),
    State("one restart", DOWN, looping(OOM, restarts=1), REFUSED, ("OOMKilled (exit code 137)",)),
    State("started once again", "starting", again(OOM, restarts=1), REFUSED, ("OOMKilled",)),
    State("the run before was long", "none", again(run(1, seconds=601), ready=True), HEALTHY),
    State("has run for ten minutes", "none", again(OOM, age=601, ready=True), HEALTHY),
    *(
        State(f"runs well, its node's clock {ahead} s ahead", "none", document, HEALTHY)
        for ahead in (7200, 90_000)
        for document in (again(run(ago=10 - ahead), age=-ahead, restarts=3, ready=True),)
    ),
    *(
        State(f"does not run, its node's clock {ahead} s ahead", DOWN, document, REFUSED)
        for ahead in (600, 7200, 90_000)
        for document in (sidecar_in(running(-ahead, ready=False)),)
    ),
    *(
        State(f"starts, its node's clock {ahead} s ahead", "starting", document, REFUSED)
        for ahead in (-90_000, -600, -60, 5, 60, 600, 7200)
        for document in (sidecar_in(running(-ahead, ready=False), age=10),)
    ),
    State(
        "the exporter's clock is behind",
        DOWN,
        sidecar_in(running(-7200, ready=False), age=-7205),
        REFUSED,
    ),
    State("node was rebooted", "none", again(REBOOT, restarts=5, ready=True), HEALTHY),
    State("clean exits", "none", again(run(0, "Completed"), ready=True), HEALTHY),
    *(
        State(f"told to end, {name}", DOWN, document, REFUSED, ("it was told to end", "15012"))
        for name, document in {
            "waits": looping(run(0, "Completed")),
            "its hook failed": sidecar_in(
                waiting("PostStartHookError", restarts=1, last=run(0, "Completed"))
            ),
            "ended for good": sidecar_in(ended() | {"ready": False}, restartPolicy="OnFailure"),
        }.items()
    ),
    State("failed once", DOWN, looping(run(1), restarts=1), REFUSED, lacks=("it was told to end",)),
    State(
        "image is gone",
        DOWN,
        sidecar_in(waiting("ErrImagePull", restarts=3, last=OOM)),
        REFUSED,
        ("ErrImagePull",),
    ),
    State(
        "native sidecar",
        LOOP,
        native(MIGRATE, waiting(), before=False)
        | {"status": pod(inits=((NATIVE, waiting(BACK_OFF, restarts=4, last=OOM)),))["status"]},
        REFUSED,
        ("4 times",),
    ),
    State("gateway", LOOP, pod((ROUTER, waiting(BACK_OFF, restarts=4, last=OOM))), REFUSED),
    *(
        State(f"{role} loops", LOOP, component(role, waiting(BACK_OFF, restarts=3, last=OOM)), seen)
        for role, seen in SEEN_OF.items()
    ),
]
