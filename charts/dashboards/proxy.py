"""One proxy: what is wrong with it, and the evidence."""

from charts.dashboards.page import Page
from charts.dashboards.panels import names, stat, table, timeline, trend
from charts.dashboards.values import (
    NO,
    PLAIN,
    PRESENT,
    RATE,
    SECONDS,
    UP,
    YES,
    Column,
    Query,
    Scale,
    best,
)

WHERE = 'cluster=~"$cluster", namespace=~"$namespace", pod=~"$pod"'
CERTIFICATE = "certificate, source"
EXPIRY = best("istio_target_certificate_expiry_timestamp_seconds", CERTIFICATE, WHERE)
BEGIN = best("istio_target_certificate_not_before_timestamp_seconds", CERTIFICATE, WHERE)
LEFT = Scale(unit="s", steps=((None, "red"), (0, "orange"), (3600, "green")))
USED = Scale(unit="percentunit", steps=((None, "green"), (0.75, "orange"), (1, "red")))


def cause(is_fault: str) -> str:
    """The proxy's cause, where its class is (`=`) or is not (`!=`) fault."""
    where = f'{WHERE}, class{is_fault}"fault"'
    return best("istio_target_diagnosis", "cause, class", where)


CAUSE = (
    Query(f"2 * {cause('=')}", "{{cause}} ({{class}})"),
    Query(cause("!="), "{{cause}} ({{class}})"),
    Query(
        f"0 * max(istio_target_last_poll_timestamp_seconds{{{WHERE}}}) "
        f"unless on () istio_target_diagnosis{{{WHERE}}}",
        "nothing is wrong",
    ),
)
"""2 is a fault, 1 another cause, 0 none although the target was polled."""

STEPS = {
    "agent reports ready": best("istio_target_ready", "pod", f'{WHERE}, endpoint="agent"'),
    "connected to istiod": best("istio_proxy_xds_connected", "pod", WHERE),
    "configuration accepted": f"1 - {best('istio_proxy_xds_rejected', 'pod', WHERE)}",
    "certificate valid": "max by (pod) (istio_target_certificate_expiry_timestamp_seconds"
    f'{{{WHERE}, certificate="workload"}} > bool time())',
    "Envoy live": best("istio_proxy_envoy_live", "pod", WHERE),
    "Envoy reports ready": best("istio_target_ready", "pod", f'{WHERE}, endpoint="envoy"'),
    "traffic captured": best("istio_proxy_captured", "pod", WHERE),
}
"""What has to hold, in order: 1 it does, 0 it does not, nothing where it cannot be judged."""

PAGE = Page(
    uid="istio-ports-proxy",
    title="Istio ports: one proxy",
    about="One proxy: its cause, its readiness steps, ports, listeners, xDS and certificates.",
    variables=("one namespace", "pod"),
    rows=(
        (
            "Verdict",
            (
                names(
                    "Cause",
                    "The most likely cause of what is wrong, and its class; red is a fault.",
                    CAUSE,
                    "not polled",
                    Scale(steps=((None, "green"), (1, "orange"), (2, "red"))),
                ),
                stat(
                    "Last polled",
                    "Time since the last poll, by cadence: the data shown is that old. Results "
                    "that were not renewed for three of their intervals expire.",
                    [
                        Query(
                            "time() - "
                            + best("istio_target_last_poll_timestamp_seconds", "cadence", WHERE),
                            "{{cadence}}",
                        )
                    ],
                    SECONDS,
                    width=6,
                ),
                table(
                    "What it is",
                    "Information about the pod and its proxy.",
                    [
                        best(
                            "istio_target_info",
                            "pod, role, ip, node, workload, version, revision, native_sidecar",
                            WHERE,
                        )
                    ],
                    tuple(
                        Column(label)
                        for label in ("role", "ip", "node", "workload", "version", "revision")
                    ),
                    width=10,
                ).height(4),
                stat(
                    "Readiness steps",
                    "From left to right, what has to hold for traffic to flow: begin with the "
                    "first no. A step that cannot be judged is left out.",
                    [Query(expr, name) for name, expr in STEPS.items()],
                    YES,
                    width=24,
                ),
                timeline(
                    "Cause over time",
                    "The cause at each time; in a gap nothing was wrong, or nothing was polled.",
                    [
                        Query(
                            best("istio_target_diagnosis", "cause, class", WHERE),
                            "{{cause}} ({{class}})",
                        )
                    ],
                    PRESENT,
                    width=24,
                ).height(5),
            ),
        ),
        (
            "Ports",
            (
                table(
                    "Ports now",
                    "Up, down, or unjudged with the reason; the last probe's outcome if not ok.",
                    [
                        best("istio_port_up", "port, component", WHERE),
                        best("istio_port_outcome", "port, component, outcome", WHERE),
                        best("istio_port_unjudged", "port, component, reason", WHERE),
                        best("istio_port_exposed", "port, component", WHERE),
                    ],
                    (
                        Column("port"),
                        Column("component"),
                        Column("Value #A", "state", UP),
                        Column("outcome"),
                        Column("reason", "unjudged because"),
                        Column("Value #D", "exposed", NO),
                    ),
                ),
                timeline(
                    "Ports over time",
                    "Up or down; a gap where it was not judged.",
                    [
                        Query(
                            best("istio_port_up", "port, component", WHERE),
                            "{{port}} {{component}}",
                        )
                    ],
                    UP,
                ),
                timeline(
                    "Unjudged over time",
                    "Ports that could not be judged, with the reason.",
                    [
                        Query(
                            best("istio_port_unjudged", "port, component, reason", WHERE),
                            "{{port}} {{reason}}",
                        )
                    ],
                    PRESENT,
                ),
                table(
                    "Who listens",
                    "Sockets on ports whose owner does not answer: what took the port. "
                    "In the profile full every socket. Needs access to its network namespace.",
                    [best("istio_port_listening", "port, component, address, process", WHERE)],
                    (
                        Column("port"),
                        Column("component", "rightful owner"),
                        Column("address"),
                        Column("process", "listening process"),
                    ),
                ),
                trend(
                    "How long probes took",
                    "The last probe of each port; in the profile full.",
                    [Query(best("istio_port_probe_duration_seconds", "port", WHERE), "{{port}}")],
                    SECONDS,
                    width=24,
                ),
            ),
        ),
        (
            "Listeners and configuration",
            (
                timeline(
                    "Listeners bound",
                    "Configured listeners that Envoy has not bound; in the profile full "
                    "every listener.",
                    [Query(best("istio_proxy_listener_bound", "listener", WHERE), "{{listener}}")],
                    YES,
                ),
                timeline(
                    "Connected to istiod",
                    "Whether the proxy is connected, and whether an istiod lists it; the latter "
                    "needs istiod's debug token.",
                    [
                        Query(best("istio_proxy_xds_connected", "pod", WHERE), "connected"),
                        Query(best("istio_proxy_xds_known", "pod", WHERE), "known to an istiod"),
                    ],
                    YES,
                ),
                timeline(
                    "Configuration rejected",
                    "Whether Envoy rejected the last update of a resource and accepted none since.",
                    [Query(best("istio_proxy_xds_rejected", "resource", WHERE), "{{resource}}")],
                    NO,
                ),
                timeline(
                    "Behind istiod",
                    "Resources of which the proxy did not acknowledge what istiod last sent; needs "
                    "istiod's debug token.",
                    [Query(best("istio_proxy_xds_synced", "resource", WHERE), "{{resource}}")],
                    YES,
                ),
                trend(
                    "Updates",
                    "Updates that Envoy accepted and rejected, by resource; in the profile full.",
                    [
                        Query(
                            f"max by (resource) (rate({family}{{{WHERE}}}[$__rate_interval]))",
                            f"{{{{resource}}}} {word}",
                        )
                        for family, word in (
                            ("istio_proxy_xds_updates_total", "accepted"),
                            ("istio_proxy_xds_rejects_total", "rejected"),
                        )
                    ],
                    RATE,
                ),
                trend(
                    "Listeners by state",
                    "Active, warming and draining listeners; in the profile full.",
                    [Query(best("istio_proxy_listeners", "state", WHERE), "{{state}}")],
                    PLAIN,
                ),
            ),
        ),
        (
            "Certificates and metrics",
            (
                stat(
                    "Time left",
                    "Until each certificate expires, as the named source reports it.",
                    [Query(f"{EXPIRY} - time()", "{{certificate}} ({{source}})")],
                    LEFT,
                    width=12,
                ),
                stat(
                    "Lifetime used",
                    "How much of its lifetime each certificate has used; the agent renews at "
                    "about half.",
                    [
                        Query(
                            f"(time() - {BEGIN}) / on ({CERTIFICATE}) ({EXPIRY} - {BEGIN})",
                            "{{certificate}} ({{source}})",
                        )
                    ],
                    USED,
                    width=12,
                ),
                trend(
                    "Lifetime used over time",
                    "A saw tooth is a certificate that is renewed.",
                    [
                        Query(
                            f"(time() - {BEGIN}) / on ({CERTIFICATE}) ({EXPIRY} - {BEGIN})",
                            "{{certificate}} ({{source}})",
                        )
                    ],
                    USED,
                ),
                trend(
                    "Failures behind the merged metrics",
                    "Failed scrapes by the agent, by source.",
                    [
                        Query(
                            "max by (source) (rate(istio_proxy_agent_scrape_failures_total"
                            f"{{{WHERE}}}[$__rate_interval]))",
                            "{{source}}",
                        )
                    ],
                    RATE,
                ),
            ),
        ),
    ),
)
