"""Cases of the alerts about the exporter itself."""

from tests.rules.promtool import JOB, Case, ExpectedAlert
from tests.rules.series import of

POLLS = "istio_port_exporter_polls_total"
TARGETS = 'istio_port_exporter_targets{role="sidecar"}'
LAST_POLL = of("istio_target_last_poll_timestamp_seconds", "web-{0..9}", cadence="fast")
HONEST = {TARGETS: "10x60", POLLS: "0+20x60", LAST_POLL: "0+60x60"}


def shard(number: int, family: str) -> str:
    """A series of one shard."""
    instance = f'instance="10.0.1.{number}:10520"'
    return f'istio_port_exporter_{family}{{job="{JOB}",{instance}}}'


OFTEN_MISSED = "Nx11 " + "stale _x8 Nx2 " * 9
"""A value N that is scraped for 12 minutes, and then for three of twelve."""


def capability(name: str) -> str:
    """Whether the exporter has a capability."""
    return f'istio_port_exporter_capability{{capability="{name}"}}'


CASES = (
    Case(
        "IstioPortExporterAbsent",
        "fires",
        "nobody scrapes one",
        {'up{job="other",instance="x"}': "1x30"},
        {9: {}, 12: {"IstioPortExporterAbsent": 1}},
        ExpectedAlert(
            12,
            {},
            "Prometheus scrapes no istio-port-exporter, so none of its alerts can fire. Look at its"
            " pods, its ServiceMonitor or scrape configuration, and Prometheus' page of targets. If"
            " it was removed on purpose, this alert ends within six hours; silence it until then,"
            " and remove these rules where no exporter is left.",
        ),
        watched=False,
    ),
    Case("IstioPortExporterAbsent", "quiet", "one is there", {}, {60: {}}),
    Case(
        "IstioPortExporterAbsent",
        "trap",
        "a restart takes some minutes",
        {"istio_port_exporter_build_info": "1x10 stale _x5 1x40"},
        {50: {}},
        watched=False,
    ),
    Case(
        "IstioPortExporterDown",
        "fires",
        "one of two does not answer",
        {
            shard(1, "build_info"): "1x10 stale",
            f'up{{job="{JOB}",instance="10.0.1.1:10520"}}': "1x10 0x30",
        },
        {20: {}, 23: {"IstioPortExporterDown": 1}},
        ExpectedAlert(
            23,
            {"job": JOB, "instance": "10.0.1.1:10520"},
            "10.0.1.1:10520 of the job istio-port-exporter answers 0% of Prometheus' scrapes."
            " Look at its pod and log; if it answers slowly, raise scrape_timeout or shard it.",
        ),
    ),
    Case(
        "IstioPortExporterDown",
        "quiet",
        "another job's target is down",
        {'up{job="node",instance="x"}': "0x60", "up": "1x60"},
        {60: {}},
    ),
    Case(
        "IstioPortExporterDown",
        "trap",
        "a rollout: the old pod goes with its up",
        {
            shard(1, "build_info"): "1x10 stale",
            f'up{{job="{JOB}",instance="10.0.1.1:10520"}}': "1x10 0x2 stale",
        },
        {60: {}},
    ),
    Case(
        "IstioPortExporterStale",
        "fires",
        "polls have stopped",
        {TARGETS: "10x60", POLLS: "0+20x10 200x50", LAST_POLL: "0+60x10 600x50"},
        {20: {}, 28: {"IstioPortExporterStale": 1}},
        ExpectedAlert(
            28,
            {"job": JOB, "instance": "10.0.0.0:10520"},
            "10.0.0.0:10520 has 10 targets, but polls have stopped or start late, or many targets"
            " have no samples. Look at its CPU limit, at istio_port_exporter_poll_lateness_seconds"
            " and at istio_port_exporter_polls_skipped_total; shard it or lengthen poll.interval.",
        ),
        replicas=(1,),
    ),
    Case("IstioPortExporterStale", "quiet", "it polls", HONEST, {60: {}}),
    Case(
        "IstioPortExporterStale",
        "trap",
        "it restarts: counters begin at 0 and the first pass takes minutes",
        {
            TARGETS: "10x20 stale _x2 10x40",
            POLLS: "0+20x20 stale _x2 0+20x40",
            LAST_POLL: "0+60x20 stale _x6 1600+60x40",
        },
        {60: {}},
    ),
    Case(
        "IstioPortExporterCapabilityLost",
        "fires",
        "access to pods was taken away",
        {capability("loopback"): "1x20 0x40"},
        {30: {}, 33: {"IstioPortExporterCapabilityLost": 1}},
        ExpectedAlert(
            33,
            {"job": JOB, "capability": "loopback"},
            "The exporter had the capability loopback within the last day and has lost it,"
            " though its configuration asks for it. Its log has the reason (cannot see"
            " capability=loopback).",
        ),
    ),
    Case(
        "IstioPortExporterCapabilityLost",
        "quiet",
        "it never had it",
        {capability("loopback"): "0x60", capability("hello"): "1x60"},
        {60: {}},
    ),
    Case(
        "IstioPortExporterCapabilityLost",
        "quiet",
        "pods of a second address family came, which is the mesh's and not the exporter's",
        {capability("dual_stack"): "1x20 0x40"},
        {60: {}},
    ),
    Case(
        "IstioPortExporterCapabilityLost",
        "trap",
        "a restart, and a shard without targets to see from inside",
        {
            capability("loopback"): "1x20 stale _x3 1x40",
            shard(7, 'capability{capability="netns"}').replace('"netns"}{', '"netns",'): "0x60",
            capability("netns"): "1x60",
        },
        {60: {}},
    ),
    Case(
        "IstioPortExporterShardsMissing",
        "fires",
        "two of three",
        {
            shard(0, "shard_ordinal"): "0x60",
            shard(1, "shard_ordinal"): "1x60",
            shard(2, "shard_ordinal"): "2x10 stale",
            shard(0, "total_shards"): "3x60",
            shard(1, "total_shards"): "3x60",
            shard(2, "total_shards"): "3x10 stale",
        },
        {20: {}, 23: {"IstioPortExporterShardsMissing": 1}},
        ExpectedAlert(
            23,
            {"job": JOB},
            "Prometheus scrapes only 2 shards of the job istio-port-exporter: nobody polls the"
            " targets of the others. Look at the pods of its StatefulSet.",
        ),
    ),
    Case(
        "IstioPortExporterShardsMissing",
        "quiet",
        "two replicas that share nothing, and all shards",
        {
            "istio_port_exporter_shard_ordinal": "0x60",
            "istio_port_exporter_total_shards": "1x60",
        },
        {60: {}},
    ),
    Case(
        "IstioPortExporterShardsMissing",
        "trap",
        "two exporters are the same shard: one is still missing",
        {
            shard(0, "shard_ordinal"): "0x60",
            shard(1, "shard_ordinal"): "0x60",
            shard(0, "total_shards"): "2x60",
            shard(1, "total_shards"): "2x60",
        },
        {4: {}, 7: {"IstioPortExporterShardsMissing": 1}},
    ),
    Case(
        "IstioPortExporterShardsMissing",
        "trap",
        "no scrape of a shard succeeds: one alert",
        {
            **{shard(n, "total_shards"): "2x10 stale" if n else "2x60" for n in (0, 1)},
            **{shard(n, "shard_ordinal"): "1x10 stale" if n else "0x60" for n in (0, 1)},
            shard(1, "build_info"): "1x10 stale",
            f'up{{job="{JOB}",instance="10.0.1.1:10520"}}': "1x10 0x60",
        },
        {
            19: {},
            22: {"IstioPortExporterShardsMissing": 1},
            60: {"IstioPortExporterShardsMissing": 1},
        },
    ),
    Case(
        "IstioPortExporterDown",
        "trap",
        "a shard that is scraped for three minutes of twelve is not missing, and down",
        {
            **{
                shard(n, "total_shards"): OFTEN_MISSED.replace("N", "2") if n else "2x120"
                for n in (0, 1)
            },
            **{
                shard(n, "shard_ordinal"): OFTEN_MISSED.replace("N", "1") if n else "0x120"
                for n in (0, 1)
            },
            shard(1, "build_info"): OFTEN_MISSED.replace("N", "1"),
            f'up{{job="{JOB}",instance="10.0.1.1:10520"}}': "1x11 " + "0x8 1x2 " * 9,
        },
        {20: {}, 60: {"IstioPortExporterDown": 1}, 110: {"IstioPortExporterDown": 1}},
    ),
    Case(
        "IstioPortExporterShardsInconsistent",
        "fires",
        "half of a rollout",
        {
            shard(0, "shard_ordinal"): "0x60",
            shard(1, "shard_ordinal"): "1x60",
            shard(2, "shard_ordinal"): "2x60",
            shard(0, "total_shards"): "2x60",
            shard(1, "total_shards"): "3x60",
            shard(2, "total_shards"): "3x60",
        },
        {9: {}, 12: {"IstioPortExporterShardsInconsistent": 1}},
        ExpectedAlert(
            12,
            {"job": JOB},
            "Some shards of the job istio-port-exporter count 3, others fewer: targets are polled"
            " twice or not at all. Finish its rollout, so that all have the same number.",
        ),
    ),
    Case(
        "IstioPortExporterShardsInconsistent",
        "quiet",
        "all report the same number",
        {shard(0, "total_shards"): "2x60", shard(1, "total_shards"): "2x60"},
        {60: {}},
    ),
    Case(
        "IstioPortExporterShardsInconsistent",
        "trap",
        "a rollout that ends",
        {
            shard(0, "total_shards"): "2x8 3x60",
            shard(1, "total_shards"): "2x2 3x60",
            shard(2, "total_shards"): "_x2 3x60",
        },
        {60: {}},
    ),
    Case(
        "IstioPortExporterDiscoveryStuck",
        "fires",
        "the watch of pods is broken",
        {'istio_port_exporter_discovery_synced{resource="pods"}': "1x10 0x50"},
        {20: {}, 23: {"IstioPortExporterDiscoveryStuck": 1}},
        ExpectedAlert(
            23,
            {"job": JOB, "resource": "pods"},
            "The job istio-port-exporter cannot read pods: it still polls known targets, but"
            " finds no new ones. Look at its log, its rights, and the way to the Kubernetes API.",
        ),
    ),
    Case(
        "IstioPortExporterDiscoveryStuck",
        "quiet",
        "a relist",
        {'istio_port_exporter_discovery_synced{resource="pods"}': "1x10 0x2 1x50"},
        {60: {}},
    ),
    Case(
        "IstioPortExporterDiscoveryStuck",
        "trap",
        "a file of targets that cannot be read",
        {'istio_port_exporter_discovery_file_up{file="targets.yaml"}': "1x10 0x50"},
        {20: {}, 23: {"IstioPortExporterDiscoveryStuck": 1}},
    ),
    Case(
        "IstioPortExporterInMesh",
        "fires",
        "its sidecar answers for everybody",
        {"istio_port_exporter_in_mesh": "1x60"},
        {4: {}, 7: {"IstioPortExporterInMesh": 1}},
        ExpectedAlert(
            7,
            {"job": JOB},
            "Its own sidecar answers for every pod, so the exporter judges nothing. Run it with"
            ' the label sidecar.istio.io/inject set to "false", and outside ambient.',
        ),
    ),
    Case(
        "IstioPortExporterInMesh",
        "quiet",
        "it runs outside the mesh",
        {"istio_port_exporter_in_mesh": "0x60"},
        {60: {}},
    ),
    Case(
        "IstioPortExporterInMesh",
        "trap",
        "its targets are unknown: no proxy has an alert",
        {
            "istio_port_exporter_in_mesh": "1x60",
            of(
                "istio_target_diagnosis", "web-{0..9}", cause="unknown", **{"class": "exporter"}
            ): "1x60",
        },
        {7: {"IstioPortExporterInMesh": 1}, 60: {"IstioPortExporterInMesh": 1}},
    ),
    Case(
        "IstioPortExporterReloadFailed",
        "fires",
        "a bad configuration",
        {"istio_port_exporter_config_last_reload_successful": "1x10 0x50"},
        {15: {}, 18: {"IstioPortExporterReloadFailed": 1}},
        ExpectedAlert(
            18,
            {"job": JOB},
            "The configuration file of the job istio-port-exporter is invalid; the previous"
            " configuration is in use. istio-port-exporter config check --config.file FILE names"
            " the line.",
        ),
    ),
    Case(
        "IstioPortExporterReloadFailed",
        "quiet",
        "a good one",
        {"istio_port_exporter_config_last_reload_successful": "1x60"},
        {60: {}},
    ),
    Case(
        "IstioPortExporterReloadFailed",
        "trap",
        "corrected within minutes",
        {"istio_port_exporter_config_last_reload_successful": "1x10 0x3 1x50"},
        {60: {}},
    ),
    Case(
        "IstioPortExporterLabelsClobbered",
        "fires",
        "honor_labels is not set",
        {
            'istio_target_last_poll_timestamp_seconds{namespace="monitoring",pod="exporter-1",'
            'exported_namespace="shop",exported_pod="web-1",role="sidecar",cadence="fast"}': "1x60"
        },
        {2: {}, 5: {"IstioPortExporterLabelsClobbered": 1}},
        ExpectedAlert(
            5,
            {"job": JOB},
            "1 series of the job istio-port-exporter have the label exported_namespace: their"
            " namespace and pod are the exporter's. Set honor_labels on the scrape job.",
        ),
        replicas=(1,),
    ),
    Case("IstioPortExporterLabelsClobbered", "quiet", "it is set", HONEST, {60: {}}),
    Case(
        "IstioPortExporterLabelsClobbered",
        "trap",
        "another exporter's labels are",
        {'kube_pod_info{exported_namespace="shop",exported_pod="web-1"}': "1x60"},
        {60: {}},
    ),
)
