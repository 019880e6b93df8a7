"""The exporter itself: whether its data is complete and fresh, and what it costs."""

from charts.dashboards.page import Page, Row
from charts.dashboards.panels import stacked, stat, timeline, trend
from charts.dashboards.tables import alerts, table
from charts.dashboards.values import (
    ABLE,
    NO,
    NONE_IS_BETTER,
    PLAIN,
    RATE,
    SECONDS,
    YES,
    Column,
    Query,
    Scale,
)

WHERE = 'cluster=~"$cluster", instance=~"$instance"'
OWN = "istio_port_exporter_"
BYTES = Scale(unit="bytes", steps=((None, "blue"),))


def now(name: str) -> str:
    """One of the exporter's own families."""
    return f"{OWN}{name}{{{WHERE}}}"


def rate(name: str, by: str = "cluster, instance", where: str = WHERE) -> str:
    """How fast one of the exporter's own counters grows."""
    return f"sum by ({by}) (rate({OWN}{name}{{{where}}}[$__rate_interval]))"


def quantile(share: float, name: str, by: str, where: str = WHERE) -> str:
    """A quantile of one of the exporter's own histograms, in seconds."""
    buckets = rate(f"{name}_bucket", f"{by}, le", where)
    return f"histogram_quantile({share}, {buckets})"


def ours(family: str) -> str:
    """A family of the Prometheus client, of the exporter's processes alone."""
    return f"{family}{{{WHERE}}} and on (cluster, job, instance) {now('build_info')}"


def spread(name: str) -> list[Query]:
    """The median and the slowest hundredth of one of the exporter's own histograms."""
    return [
        Query(quantile(0.5, name, "cluster, instance"), "{{cluster}} {{instance}} median"),
        Query(quantile(0.99, name, "cluster, instance"), "{{cluster}} {{instance}} p99"),
    ]


PAGE = Page(
    uid="istio-ports-exporter",
    title="Istio ports: the exporter",
    about="Whether the port exporter's data is complete and fresh, and what it costs.",
    variables=("cluster", "instance"),
    rows=(
        Row(
            "Is it complete?",
            (
                stat(
                    "Targets",
                    "Polled targets of all instances: each replica counts the same ones.",
                    [Query(f"sum by (cluster) ({now('targets')})", "{{cluster}}")],
                    PLAIN,
                ),
                stat(
                    "Shards seen",
                    "How many of all shards Prometheus scrapes.",
                    [
                        Query(
                            "count by (cluster) "
                            f"(count_values by (cluster) ('shard', {now('shard_ordinal')}))",
                            "{{cluster}} seen",
                        ),
                        Query(f"max by (cluster) ({now('total_shards')})", "{{cluster}} total"),
                    ],
                    PLAIN,
                ),
                stat(
                    "In the mesh",
                    "Its own connections must not go through a proxy of the mesh.",
                    [Query(f"max by (cluster) ({now('in_mesh')})", "{{cluster}}")],
                    NO,
                ),
                stat(
                    "Configuration good",
                    "Whether the last load succeeded; else the previous configuration is in use.",
                    [
                        Query(
                            f"min by (cluster) ({now('config_last_reload_successful')})",
                            "{{cluster}}",
                        )
                    ],
                    YES,
                ),
                stat(
                    "Catalogue outdated",
                    "Whether a target runs a newer Istio than the exporter knows.",
                    [Query(f"max by (cluster) ({now('catalogue_outdated')})", "{{cluster}}")],
                    NO,
                ),
                stat(
                    "Opted out",
                    "Targets, and ports of targets, that opted out, of all instances.",
                    [
                        Query(
                            f"sum by (cluster) ({now('targets_ignored')})", "{{cluster}} targets"
                        ),
                        Query(f"sum by (cluster) ({now('ports_ignored')})", "{{cluster}} ports"),
                    ],
                    NONE_IS_BETTER,
                ),
                table(
                    "Capabilities",
                    "A no limits what the exporter sees; its log has the consequence.",
                    [f"min by (cluster, capability) ({now('capability')})"],
                    (Column("cluster"), Column("capability"), Column("Value", "able", ABLE)),
                ),
                timeline(
                    "Discovery",
                    "Whether each list is complete and watched, and each file readable.",
                    [
                        Query(
                            f"min by (cluster, instance, resource) ({now('discovery_synced')})",
                            "{{cluster}} {{instance}} {{resource}}",
                        ),
                        Query(
                            f"min by (cluster, instance, file) ({now('discovery_file_up')})",
                            "{{cluster}} {{instance}} {{file}}",
                        ),
                    ],
                    YES,
                    nothing="All of its targets are in its configuration",
                ),
                table(
                    "Instances",
                    "Version and shard of each.",
                    [
                        f"max by (cluster, instance, version, python) ({now('build_info')})",
                        f"max by (cluster, instance) ({now('shard_ordinal')})",
                        f"max by (cluster, instance) ({now('total_shards')})",
                    ],
                    (
                        Column("cluster"),
                        Column("instance"),
                        Column("version"),
                        Column("python"),
                        Column("Value #B", "shard"),
                        Column("Value #C", "of"),
                    ),
                ),
                stacked(
                    trend(
                        "Targets by role",
                        "Polled targets of all instances.",
                        [
                            Query(
                                f"sum by (cluster, role) ({now('targets')})", "{{cluster}} {{role}}"
                            )
                        ],
                        PLAIN,
                    )
                ),
            ),
        ),
        Row("Alerts", (alerts('cluster=~"$cluster"', ("exporter.yaml",)),)),
        Row(
            "Is it fresh?",
            (
                trend(
                    "Polls",
                    "Polls started, and polls skipped because the previous one was still running.",
                    [
                        Query(rate("polls_total"), "{{cluster}} {{instance}} started"),
                        Query(rate("polls_skipped_total"), "{{cluster}} {{instance}} skipped"),
                    ],
                    RATE,
                ),
                trend(
                    "Poll lateness",
                    "Delay between a poll's due time and its start.",
                    spread("poll_lateness_seconds"),
                    SECONDS,
                ),
                trend(
                    "Probes",
                    "Probes that ended, with any outcome.",
                    [Query(rate("probes_total"), "{{cluster}} {{instance}}")],
                    RATE,
                ),
                trend(
                    "Probes in flight",
                    "At the limit the exporter waits for silent targets.",
                    [
                        Query(
                            f"sum by (cluster, instance) ({now('probes_in_flight')})",
                            "{{cluster}} {{instance}}",
                        )
                    ],
                    PLAIN,
                ),
                trend(
                    "Probe duration by port",
                    "The slowest hundredth, of all roles. A port that stays silent takes the whole "
                    "timeout.",
                    [
                        Query(
                            quantile(
                                0.99,
                                "probe_duration_seconds",
                                "cluster, port",
                                f'{WHERE}, port!="0"',
                            ),
                            "{{cluster}} {{port}}",
                        )
                    ],
                    SECONDS,
                ).fill_opacity(0),
                trend(
                    "Event loop lag",
                    "Delay of due timers in the event loop.",
                    spread("event_loop_lag_seconds"),
                    SECONDS,
                ),
            ),
        ),
        Row(
            "What does it cost?",
            (
                trend(
                    "CPU",
                    "Cores in use.",
                    [
                        Query(
                            f"rate(process_cpu_seconds_total{{{WHERE}}}[$__rate_interval])"
                            f" and on (cluster, job, instance) {now('build_info')}",
                            "{{cluster}} {{instance}}",
                        )
                    ],
                    PLAIN,
                    width=8,
                ),
                trend(
                    "Memory",
                    "Resident memory.",
                    [Query(ours("process_resident_memory_bytes"), "{{cluster}} {{instance}}")],
                    BYTES,
                    width=8,
                ),
                trend(
                    "Files open",
                    "Open files and their limit; each connection is one.",
                    [
                        Query(ours("process_open_fds"), "{{cluster}} {{instance}}"),
                        Query(ours("process_max_fds"), "{{cluster}} {{instance}} limit"),
                    ],
                    PLAIN,
                    width=8,
                ),
                trend(
                    "Size of the exposition",
                    "Before compression.",
                    [Query(now("exposition_bytes"), "{{cluster}} {{instance}}")],
                    BYTES,
                ),
                trend(
                    "Time of the exposition",
                    "How long the last one took to serve.",
                    [Query(now("exposition_duration_seconds"), "{{cluster}} {{instance}}")],
                    SECONDS,
                ),
            ),
        ),
        Row(
            "With discovery in Kubernetes alone (discovery.kubernetes)",
            (
                trend(
                    "Requests to the Kubernetes API",
                    "By response code; error where there was no response.",
                    [
                        Query(
                            rate("kubernetes_requests_total", "cluster, verb, resource, code"),
                            "{{cluster}} {{verb}} {{resource}} {{code}}",
                        )
                    ],
                    RATE,
                ),
                trend(
                    "Relists",
                    "Each costs the API server a whole list.",
                    [
                        Query(
                            rate("discovery_relists_total", "cluster, instance, resource"),
                            "{{cluster}} {{instance}} {{resource}}",
                        )
                    ],
                    RATE,
                ),
            ),
            is_closed=True,
        ),
    ),
)
