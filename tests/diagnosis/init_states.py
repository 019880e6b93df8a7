"""Pods whose init containers run, fail, or do not end."""

from tests.diagnosis.pod_states import (
    APP,
    AS_GROUP,
    AS_NAMESPACE,
    AS_PROXY,
    CREATING,
    DARK,
    DRAINING,
    HEALTHY,
    IMAGE,
    INIT,
    MIGRATE,
    NATIVE,
    NO_OUTBOUND,
    OPENSHIFT,
    PROXY,
    REFUSED,
    REJECTED,
    RULES,
    UNPULLED,
    UNSTARTED,
    VALIDATION,
    Document,
    State,
    classic,
    ended,
    native,
    pod,
    run,
    running,
    set_up,
    sidecar_in,
    waiting,
)

CHECKING = ("--run-validation", "--skip-rule-apply")
NETWORK = ("native sidecars", "1337", "excludeOutboundPorts", "holdApplicationUntilProxyStarts")
RUNNING = "init_container_running"
FAILING = "init_container_failing"
REDIRECTION = "redirection_setup_failing"

CORE_DUMP = {"name": "enable-core-dump", "image": IMAGE, "command": ["/bin/sh"]}
SQL = {"name": "sql-proxy", "image": "shop/sql-proxy:1", "restartPolicy": "Always"}
STARTING = {**running(590, ready=False), "started": False}
UNSTARTED_LONG = {**running(3700, ready=False), "started": False}
SQL_STARTED = {**running(590), "started": True}


def ahead(status: Document, *, first: Document = INIT, **more: object) -> Document:
    """A pod that stands at another native sidecar, before redirection or the proxy is there."""
    rows = ((SQL, status), (first, waiting()))
    proxy = () if first is NATIVE else ((PROXY, waiting()),)
    return pod((APP, waiting()), *proxy, inits=rows, **more)


AHEAD = [
    State(f"behind another's native sidecar: {why}, {first['name']}", cause, document, REFUSED, has)
    for first in (INIT, NATIVE)
    for why, cause, document, has in (
        (
            "it fails",
            FAILING,
            ahead(waiting("CrashLoopBackOff", restarts=3, last=run(137, "OOMKilled")), first=first),
            ("sql-proxy", "OOMKilled"),
        ),
        (
            "no image",
            FAILING,
            ahead(waiting("ErrImagePull"), first=first, age=30),
            ("sql-proxy", "ErrImagePull"),
        ),
        ("it starts", RUNNING, ahead(STARTING, first=first), ("sql-proxy", "startup probe")),
        ("it never starts", FAILING, ahead(UNSTARTED_LONG, first=first), ("sql-proxy",)),
    )
]
AHEAD += [
    State(
        "another's begins behind redirection and has no network",
        RUNNING,
        set_up(SQL, STARTING),
        REFUSED,
        ("sql-proxy", *NETWORK),
    ),
    State("another's has started", RUNNING, ahead(SQL_STARTED, age=90), REFUSED, ("istio-init",)),
    State(
        "another's fails while the application runs",
        "none",
        pod(
            (APP, running()),
            (PROXY, running()),
            inits=((SQL, waiting("CrashLoopBackOff", restarts=3, last=run())), (INIT, ended())),
        ),
        HEALTHY,
    ),
]

LOST = ended(run(255, "Unknown", seconds=9000))
ANEW = [
    State(
        f"all run anew after a reboot: {why}, {sort}",
        cause,
        pod(*rest, inits=(*before, (init, status), *behind)),
        REFUSED,
        (init["name"],),
    )
    for sort, rest, behind in (
        ("classic", ((APP, LOST), (PROXY, LOST)), ()),
        ("native", ((APP, LOST),), ((NATIVE, LOST),)),
    )
    for why, cause, before, init, status in (
        (
            "redirection fails",
            REDIRECTION,
            (),
            INIT,
            waiting("CrashLoopBackOff", restarts=4, last=run()),
        ),
        ("the application's runs", RUNNING, ((INIT, ended()),), MIGRATE, running(90)),
        ("the application's fails", FAILING, ((INIT, ended()),), MIGRATE, ended(run(3))),
    )
]

INITS = [
    State("init runs", RUNNING, set_up(MIGRATE, running(590)), REFUSED, ("migrate", "since")),
    State("init of a young pod", RUNNING, set_up(MIGRATE, running(5), age=9), REFUSED),
    State("init runs in the dark", RUNNING, set_up(MIGRATE, running(90)), DARK, ("migrate",)),
    State("init runs behind a wall", RUNNING, set_up(MIGRATE, running(90)), REJECTED),
    State("init has no network", RUNNING, set_up(MIGRATE, running(90)), REFUSED, NETWORK),
    State("init has one", RUNNING, classic(MIGRATE, running(90)), REFUSED, lacks=NETWORK[1:]),
    State("as proxy's user", RUNNING, set_up(AS_PROXY, running(90)), REFUSED, lacks=NETWORK[1:]),
    State("as its group", RUNNING, set_up(AS_GROUP, running(90)), REFUSED, lacks=NETWORK[1:]),
    *(
        State(
            f"on OpenShift, as {user}",
            RUNNING,
            classic(init, running(90), first=((OPENSHIFT, ended()),)),
            REFUSED,
            names,
            lacks,
        )
        for user, init, names, lacks in (
            ("proxy's user", AS_NAMESPACE, (), NETWORK[1:]),
            ("usual user of the proxy elsewhere", AS_PROXY, NETWORK, ()),
            ("usual group of the proxy elsewhere", AS_GROUP, NETWORK, ()),
        )
    ),
    State(
        "outbound connections are not redirected",
        RUNNING,
        classic(MIGRATE, running(90), first=((NO_OUTBOUND, ended()),)),
        REFUSED,
        lacks=NETWORK[1:],
    ),
    State("redirection runs", RUNNING, classic(INIT, running(3, restarts=1)), REFUSED),
    State("init runs for an hour", FAILING, set_up(MIGRATE, running(3700)), REFUSED, NETWORK),
    State("init failed", FAILING, set_up(MIGRATE, ended(run(3))), REFUSED, ("exit code 3",)),
    State(
        "init fails again and again",
        FAILING,
        set_up(MIGRATE, running(3, restarts=4, last=run(137, "OOMKilled"))),
        REFUSED,
        ("migrate", "OOMKilled", "restarted 4 times"),
    ),
    State(
        "init had one failure",
        RUNNING,
        set_up(MIGRATE, running(3, restarts=1, last=run())),
        REFUSED,
    ),
    State("init lost with its node", RUNNING, set_up(MIGRATE, ended(run(137, "Unknown"))), REFUSED),
    State(
        "redirection failed", REDIRECTION, classic(INIT, ended(run(1))), REFUSED, ("istio-init",)
    ),
    State(
        "validation fails",
        REDIRECTION,
        classic(VALIDATION, waiting("CrashLoopBackOff", restarts=7, last=run(126))),
        REFUSED,
        ("istio-validation", "istio-cni", "exit code 126"),
    ),
    State(
        "validation runs again",
        REDIRECTION,
        classic(VALIDATION, running(3, restarts=2, last=run(126))),
        DARK,
        ("istio-validation", "istio-cni"),
    ),
    State(
        "redirection is not started: a volume or the network is missing",
        REDIRECTION,
        classic(INIT, waiting(), age=7200),
        REFUSED,
        ("istio-ca-root-cert", "istio-cni"),
    ),
    *(
        State(
            f"what is left of a report on one: {name}",
            "none",
            pod((APP, running()), *rest, inits=inits),
            HEALTHY,
        )
        for name, rest, inits in (
            ("classic", ((PROXY, running()),), ((INIT, ended()), (MIGRATE, waiting()))),
            ("native", (), ((NATIVE, running()), (MIGRATE, waiting()))),
        )
    ),
    State("redirection never ends", REDIRECTION, classic(INIT, running(3700)), REFUSED),
    State(
        "before a native sidecar",
        RUNNING,
        native(MIGRATE, running(90), before=True),
        REFUSED,
        ("migrate",),
    ),
    State(
        "fails before a native sidecar",
        FAILING,
        native(MIGRATE, waiting("CrashLoopBackOff", restarts=3, last=run()), before=True),
        REFUSED,
        ("migrate",),
    ),
    State(
        "behind a native sidecar",
        RUNNING,
        native(MIGRATE, running(90), before=False),
        HEALTHY,
        ("migrate",),
        NETWORK[1:],
    ),
    State(
        "fails behind a native sidecar",
        FAILING,
        native(MIGRATE, ended(run(2)), before=False),
        HEALTHY,
        ("migrate", "exit code 2"),
    ),
    State(
        "a fault of the proxy outranks what is behind it",
        "agent_gone",
        native(MIGRATE, ended(run(2)), before=False),
        DRAINING,
    ),
    State("all have ended", "none", sidecar_in(running()), HEALTHY),
    *AHEAD,
    *ANEW,
    *(
        State(f"init waits: {why}", RUNNING, set_up(MIGRATE, waiting(why)), REFUSED, ("migrate",))
        for why in CREATING
    ),
    *(
        State(f"init waits: {why}", FAILING, set_up(MIGRATE, waiting(why)), REFUSED, (why,))
        for why in (*UNPULLED, *UNSTARTED)
    ),
    *(
        State(
            f"redirection waits: {why}",
            REDIRECTION,
            classic(init, waiting(why), age=30),
            REFUSED,
            (why, init["name"], "image"),
        )
        for why in UNPULLED
        for init in (INIT, VALIDATION)
    ),
    *(
        State(
            f"redirection cannot be started: {why}, {init['name']}",
            REDIRECTION,
            classic(init, waiting(why), age=30),
            REFUSED,
            (why, init["name"], "runAsNonRoot", "istio-cni"),
            ("check its image",),
        )
        for why in UNSTARTED
        for init in (INIT, VALIDATION)
    ),
    *(
        State(
            f"redirection is set up once more, the proxy has run: {again}, {n}",
            REDIRECTION,
            pod((APP, waiting()), (PROXY, proxy), inits=((INIT, ended(run(1))),)),
            REFUSED,
            ("istio-init", "Delete the pod" if again else "NET_ADMIN"),
            ("NET_ADMIN" if again else "Delete the pod",),
        )
        for n, (again, proxy) in enumerate(
            ((True, LOST), (True, waiting(restarts=1)), (False, waiting()))
        )
    ),
    *(
        State(
            f"Istio's core dumps cannot be enabled: {status}",
            REDIRECTION,
            set_up(CORE_DUMP, status),
            REFUSED,
            ("enable-core-dump", "privileged"),
            ("NET_ADMIN", "istio-cni"),
        )
        for status in (waiting("CrashLoopBackOff", restarts=3, last=run(1)), waiting(UNSTARTED[0]))
    ),
    State("Istio's core dumps are enabled", RUNNING, set_up(CORE_DUMP, running(3)), REFUSED),
    State(
        "redirection's last run was forgotten",
        REDIRECTION,
        classic(INIT, waiting("CrashLoopBackOff", restarts=4)),
        REFUSED,
        ("istio-init", "NET_ADMIN"),
        ("check its image",),
    ),
    *(
        State(
            f"who checks istio-cni's rules fails: {name}, {'a path' if path else 'a name'}",
            REDIRECTION,
            classic(
                {"name": name, "image": IMAGE, "args": [path + RULES[0], *RULES[1:], *CHECKING]},
                waiting("CrashLoopBackOff", restarts=7, last=run(126)),
            ),
            REFUSED,
            (name, "has not set redirection up"),
            ("NET_ADMIN",),
        )
        for name in ("istio-validation", "mesh-check")
        for path in ("", "/usr/local/bin/")
    ),
]
