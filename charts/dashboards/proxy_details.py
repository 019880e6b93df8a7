"""One proxy's listeners, configuration and certificates, and what some installs alone have."""

from charts.dashboards.page import Row
from charts.dashboards.panels import stat, timeline, trend
from charts.dashboards.tables import table
from charts.dashboards.values import NO, PLAIN, RATE, SECONDS, YES, Column, Query, Scale, best

WHERE = 'cluster=~"$cluster", namespace=~"$namespace", pod=~"$pod"'
CERTIFICATE = "cluster, certificate, source"
EXPIRY = best("istio_target_certificate_expiry_timestamp_seconds", CERTIFICATE, WHERE)
BEGIN = best("istio_target_certificate_not_before_timestamp_seconds", CERTIFICATE, WHERE)
LEFT = Scale(unit="s", steps=((None, "red"), (0, "orange"), (3600, "green")))
NO_BEGIN = "Not known: no handshake has shown a certificate"
"""The agent reports the end alone."""
USED = Scale(unit="percentunit", steps=((None, "green"), (0.75, "orange"), (1, "red")))

SERVER = "cluster, port, server_name"
SERVER_EXPIRY = best("istio_proxy_server_certificate_expiry_timestamp_seconds", SERVER, WHERE)
SERVER_BEGIN = best("istio_proxy_server_certificate_not_before_timestamp_seconds", SERVER, WHERE)
SERVER_LEFT = Scale(unit="s", steps=((None, "red"), (0, "green")))
SERVER_USED = Scale(unit="percentunit", steps=((None, "green"), (0.9, "orange"), (1, "red")))

DETAILS = (
    Row(
        "Listeners and configuration",
        (
            timeline(
                "Listeners bound",
                "Configured listeners that Envoy has not bound; in the profile full "
                "every listener.",
                [
                    Query(
                        best("istio_proxy_listener_bound", "cluster, listener", WHERE),
                        "{{listener}}",
                    )
                ],
                YES,
                width=8,
                nothing="Every listener that Envoy reports is bound",
            ),
            timeline(
                "Connected to istiod",
                "Whether the proxy is connected.",
                [
                    Query(best("istio_proxy_xds_connected", "cluster, pod", WHERE), "connected"),
                ],
                YES,
                width=8,
                nothing="Not known: neither Envoy nor its agent reports it",
            ),
            timeline(
                "Configuration rejected",
                "Whether Envoy rejected the last update of a resource and accepted none since.",
                [
                    Query(
                        best("istio_proxy_xds_rejected", "cluster, resource", WHERE),
                        "{{resource}}",
                    )
                ],
                NO,
                width=8,
                nothing="Not known: Envoy's statistics were not read",
            ),
        ),
    ),
    Row(
        "Certificates and metrics",
        (
            stat(
                "Time left",
                "Until each certificate expires, as the named source reports it.",
                [Query(f"{EXPIRY} - time()", "{{certificate}} ({{source}})")],
                LEFT,
                width=12,
                nothing="No certificate was seen",
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
                nothing=NO_BEGIN,
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
                nothing=NO_BEGIN,
            ),
            trend(
                "Failures behind the merged metrics",
                "Failed scrapes by the agent, by source.",
                [
                    Query(
                        "max by (cluster, source) (rate(istio_proxy_agent_scrape_failures_total"
                        f"{{{WHERE}}}[$__rate_interval]))",
                        "{{source}}",
                    )
                ],
                RATE,
                nothing="Not known: the agent's own metrics were not read",
            ),
            table(
                "Certificates of a gateway's servers",
                "What clients of a gateway are shown, by port and name; your issuer renews them, "
                "most at two thirds of their lifetime. Port 0: Envoy has it, no hello showed it.",
                [
                    f"{SERVER_EXPIRY} - time()",
                    f"(time() - {SERVER_BEGIN}) / ({SERVER_EXPIRY} - {SERVER_BEGIN})",
                ],
                (
                    Column("port"),
                    Column("server_name", "name"),
                    Column("Value #A", "expires in", SERVER_LEFT),
                    Column("Value #B", "used", SERVER_USED),
                ),
                width=24,
                nothing="No gateway, or no server of it presents a certificate",
            ),
        ),
    ),
    Row(
        "In the profile full alone (metrics.profile)",
        (
            trend(
                "How long probes took",
                "The last probe of each port.",
                [
                    Query(
                        best("istio_port_probe_duration_seconds", "cluster, port", WHERE),
                        "{{port}}",
                    )
                ],
                SECONDS,
                width=24,
            ),
            trend(
                "Updates",
                "Updates that Envoy accepted and rejected, by resource.",
                [
                    Query(
                        f"max by (cluster, resource) (rate({family}{{{WHERE}}}[$__rate_interval]))",
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
                "Active, warming and draining listeners.",
                [Query(best("istio_proxy_listeners", "cluster, state", WHERE), "{{state}}")],
                PLAIN,
            ),
        ),
        is_closed=True,
    ),
    Row(
        "With access to the pod's network namespace alone (access.loopback)",
        (
            table(
                "Who listens",
                "Sockets on ports whose owner does not answer: what took the port. "
                "In the profile full every socket.",
                [
                    best(
                        "istio_port_listening",
                        "cluster, port, component, address, process",
                        WHERE,
                    )
                ],
                (
                    Column("port"),
                    Column("component", "rightful owner"),
                    Column("address"),
                    Column("process", "listening process"),
                ),
                width=24,
                nothing="No port has another owner, or the network namespace cannot be entered",
            ),
        ),
        is_closed=True,
    ),
    Row(
        "With istiod's debug token alone (istiod.debug_token_file)",
        (
            timeline(
                "Known to an istiod",
                "Whether an istiod lists it.",
                [Query(best("istio_proxy_xds_known", "cluster, pod", WHERE), "known")],
                YES,
            ),
            timeline(
                "Behind istiod",
                "Resources of which the proxy did not acknowledge what istiod last sent.",
                [
                    Query(
                        best("istio_proxy_xds_synced", "cluster, resource", WHERE),
                        "{{resource}}",
                    )
                ],
                YES,
            ),
        ),
        is_closed=True,
    ),
)
