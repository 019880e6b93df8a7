"""Envoy's configuration as Istio writes it: bootstrap, listeners and clusters, as JSON files.

The bootstrap follows Istio tools/packaging/common/envoy_bootstrap.json, the listeners
pilot/pkg/networking/core (`listener_inbound.go`, `filterchain_options.go`), both as recorded
from a real sidecar. Listeners and clusters come from files, so that a test can send an update.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Json = dict[str, Any]
API = "type.googleapis.com/envoy"
LISTENER = f"{API}.config.listener.v3.Listener"
CLUSTER = f"{API}.config.cluster.v3.Cluster"
ALPN_HTTP = ["istio-http/1.0", "istio-http/1.1", "istio-h2"]
ALPN_TCP = ["istio-peer-exchange", "istio"]
COUNTED = ("cluster_manager", "listener_manager", "server", "cluster.xds-grpc", "istio")
"""What a sidecar's bootstrap lets Envoy count, shortened."""


def typed(name: str, kind: str, **fields: Any) -> Json:
    """A named extension with its typed configuration."""
    return {"name": name, "typed_config": {"@type": f"{API}.{kind}", **fields}}


def sockets(families: Iterable[int], port: int, *, loopback: bool = False) -> Json:
    """`address` of the first family and `additional_addresses` of the others."""
    hosts = {4: "127.0.0.1", 6: "::1"} if loopback else {4: "0.0.0.0", 6: "::"}
    first, *others = [
        {"socket_address": {"address": hosts[family], "port_value": port}} for family in families
    ]
    more = {"additional_addresses": [{"address": other} for other in others]} if others else {}
    return {"address": first, **more}


def router() -> Json:
    return typed("envoy.filters.http.router", "extensions.filters.http.router.v3.Router")


def http(stat_prefix: str, route: Json, match: str, **fields: Any) -> Json:
    """An HTTP connection manager with one route."""
    return typed(
        "envoy.filters.network.http_connection_manager",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=stat_prefix,
        route_config={
            "virtual_hosts": [
                {
                    "name": "backend",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": match}, "route": route}],
                }
            ]
        },
        http_filters=[router()],
        **fields,
    )


def tcp(cluster: str, **fields: Any) -> Json:
    return typed(
        "envoy.filters.network.tcp_proxy",
        "extensions.filters.network.tcp_proxy.v3.TcpProxy",
        stat_prefix=cluster,
        cluster=cluster,
        **fields,
    )


def access_log(path: Path) -> Json:
    """A file access log, a line for each connection or request."""
    return {
        "access_log": [
            typed(
                "envoy.access_loggers.file",
                "extensions.access_loggers.file.v3.FileAccessLog",
                path=str(path),
            )
        ]
    }


def static_listener(families: Iterable[int], port: int, handler: Json, *, loopback: bool) -> Json:
    return {
        "name": f"0.0.0.0_{port}",
        **sockets(families, port, loopback=loopback),
        "filter_chains": [{"filters": [handler]}],
    }


def endpoint(name: str, address: Json, *, http2: bool = False) -> Json:
    """A static cluster of one endpoint, named in statistics as Istio 1.23 and later do."""
    options = {
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{API}.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    }
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "0.250s",
        "alt_stat_name": f"{name};",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        **(options if http2 else {}),
    }


def bootstrap(
    folder: Path,
    families: tuple[int, ...],
    *,
    admin_address: str = "",
    stats_via: int = 15000,
    localhost_metrics: bool = False,
    all_stats: bool = False,
) -> Json:
    """Admin, the two static listeners, and where listeners and clusters come from.

    `stats_via`: the loopback port that 15090 relays to. `all_stats`: count everything.
    """
    loopback = "127.0.0.1" if families[0] == 4 else "::1"

    def local(port: int, address: str = loopback) -> Json:
        return {"socket_address": {"address": address, "port_value": port}}

    stats = http("stats", {"cluster": "prometheus_stats"}, "/stats/prometheus")
    ready = http("agent", {"cluster": "agent"}, "/healthz/ready")
    counted = {"inclusion_list": {"patterns": [{"prefix": prefix} for prefix in COUNTED]}}
    return {
        "node": {"id": f"sidecar~{folder.name}", "cluster": folder.name},
        "admin": {"address": local(15000, admin_address or loopback)},
        "static_resources": {
            "listeners": [
                static_listener(families, 15090, stats, loopback=localhost_metrics),
                static_listener(families, 15021, ready, loopback=False),
            ],
            "clusters": [
                endpoint("prometheus_stats", local(stats_via)),
                endpoint("agent", local(15020)),
                endpoint("sds-grpc", {"pipe": {"path": str(folder / "SDS")}}, http2=True),
                endpoint("xds-grpc", {"pipe": {"path": str(folder / "XDS")}}, http2=True),
            ],
        },
        "dynamic_resources": {
            "lds_config": from_file(folder / "lds.json"),
            "cds_config": from_file(folder / "cds.json"),
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
                "transport_api_version": "V3",
            },
        },
        "stats_config": {
            "use_all_default_tags": False,
            "stats_tags": [
                {"tag_name": "cluster_name", "regex": r"^cluster(\.(.+);)"},
                {"tag_name": "http_conn_manager_prefix", "regex": r"^http\.((\w+);\.)"},
                {"tag_name": "tcp_prefix", "regex": r"^tcp\.((.*?)\.)\w+?$"},
            ],
            **({} if all_stats else {"stats_matcher": counted}),
        },
        "layered_runtime": {
            "layers": [
                {
                    "name": "global config",
                    "static_layer": {
                        "envoy.deprecated_features:envoy.config.listener.v3.Listener"
                        ".hidden_envoy_deprecated_use_original_dst": True
                    },
                }
            ]
        },
    }


def from_file(path: Path) -> Json:
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def tls(folder: Path, *, quantum_safe: bool = False) -> Json:
    """A transport socket that shows the workload's certificate and demands the peer's.

    `quantum_safe`: as with COMPLIANCE_POLICY=pqc (Istio security/pkg/util, SetComplianceParams).
    """
    parameters: Json = {"tls_minimum_protocol_version": "TLSv1_2"}
    if quantum_safe:
        parameters = {
            "tls_minimum_protocol_version": "TLSv1_3",
            "tls_maximum_protocol_version": "TLSv1_3",
            "ecdh_curves": ["X25519MLKEM768"],
        }
    chain, key, root = (
        {"filename": str(folder / name)} for name in ("chain.pem", "key.pem", "root.pem")
    )
    socket = typed(
        "envoy.transport_sockets.tls",
        "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={
            "tls_params": parameters,
            "tls_certificates": [{"certificate_chain": chain, "private_key": key}],
            "validation_context": {"trusted_ca": root},
        },
        require_client_certificate=True,
    )
    return {"transport_socket": socket}


def inspector(name: str, kind: str) -> Json:
    """A listener filter that looks into the first bytes, but not of connections to 15006."""
    off = {"destination_port_range": {"start": 15006, "end": 15007}}
    return {**typed(name, kind), "filter_disabled": off}


def virtual_inbound(
    folder: Path,
    families: tuple[int, ...],
    *,
    strict: bool,
    log: bool = False,
    quantum_safe: bool = False,
) -> Json:
    """15006: every captured connection, with the chains of PERMISSIVE or STRICT."""
    logged = access_log(folder / "access.log") if log else {}
    to = "InboundPassthroughCluster"
    route = {
        "cluster": to,
        "timeout": "0s",
        "retry_policy": {"retry_on": "reset-before-request", "num_retries": 2},
    }
    requests = http(f"{to};", route, "/", server_name="istio-envoy", **logged)
    stream = tcp(to, **logged)
    mutual = tls(folder, quantum_safe=quantum_safe)

    def chain(name: str, match: Json, handler: Json, **more: Any) -> Json:
        return {"name": name, "filter_chain_match": match, "filters": [handler], **more}

    encrypted, plain = {"transport_protocol": "tls"}, {"transport_protocol": "raw_buffer"}
    mesh_http = {**encrypted, "application_protocols": ALPN_HTTP}
    mesh_tcp = encrypted if strict else {**encrypted, "application_protocols": ALPN_TCP}
    chains = [
        chain("virtualInbound-blackhole", {"destination_port": 15006}, tcp("BlackHoleCluster")),
        chain("virtualInbound-catchall-http", mesh_http, requests, **mutual),
        chain("virtualInbound", mesh_tcp, stream, **mutual),
    ]
    if not strict:
        plain_http = {**plain, "application_protocols": ["http/1.1", "h2c"]}
        chains += [
            chain("virtualInbound-catchall-http", plain_http, requests),
            chain("virtualInbound", plain, stream),
            chain("virtualInbound", encrypted, stream),
        ]
    filters = "extensions.filters.listener"
    return {
        "@type": LISTENER,
        "name": "virtualInbound",
        **sockets(families, 15006),
        "filter_chains": chains,
        "listener_filters": [
            typed("envoy.filters.listener.original_dst", f"{filters}.original_dst.v3.OriginalDst"),
            inspector(
                "envoy.filters.listener.tls_inspector", f"{filters}.tls_inspector.v3.TlsInspector"
            ),
            inspector(
                "envoy.filters.listener.http_inspector",
                f"{filters}.http_inspector.v3.HttpInspector",
            ),
        ],
        "listener_filters_timeout": "0s",
        "continue_on_listener_filters_timeout": True,
        "traffic_direction": "INBOUND",
    }


def virtual_outbound(families: tuple[int, ...]) -> Json:
    """15001: what the pod sends out."""
    return {
        "@type": LISTENER,
        "name": "virtualOutbound",
        **sockets(families, 15001),
        "filter_chains": [
            {
                "name": "virtualOutbound-blackhole",
                "filter_chain_match": {"destination_port": 15001},
                "filters": [tcp("BlackHoleCluster")],
            },
            {"name": "virtualOutbound-catchall-tcp", "filters": [tcp("PassthroughCluster")]},
        ],
        "use_original_dst": True,
        "traffic_direction": "OUTBOUND",
    }


def server(families: tuple[int, ...], port: int) -> Json:
    """A gateway's HTTP server (Istio pilot/pkg/networking/core/gateway.go)."""
    nowhere = {"cluster": "BlackHoleCluster"}
    return {
        "@type": LISTENER,
        "name": f"0.0.0.0_{port}",
        **sockets(families, port),
        "filter_chains": [{"filters": [http(f"outbound_0.0.0.0_{port}", nowhere, "/")]}],
    }


def refused_listener(families: tuple[int, ...]) -> Json:
    """A listener that Envoy refuses: two chains match the same connections."""
    chain = {
        "filter_chain_match": {"destination_port": 1},
        "filters": [tcp("BlackHoleCluster")],
    }
    return {
        "@type": LISTENER,
        "name": "0.0.0.0_9443",
        **sockets(families, 9443),
        "filter_chains": [{"name": "one", **chain}, {"name": "other", **chain}],
    }


def warming_listener(families: tuple[int, ...]) -> Json:
    """A listener that waits for ever: its certificate's server is not there."""
    grpc = {
        "api_type": "GRPC",
        "grpc_services": [{"envoy_grpc": {"cluster_name": "sds-grpc"}}],
        "transport_api_version": "V3",
    }
    secret = {
        "name": "kubernetes://missing",
        "sds_config": {
            "api_config_source": grpc,
            "initial_fetch_timeout": "0s",
            "resource_api_version": "V3",
        },
    }
    socket = typed(
        "envoy.transport_sockets.tls",
        "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={"tls_certificate_sds_secret_configs": [secret]},
    )
    return {
        "@type": LISTENER,
        "name": "0.0.0.0_8443",
        **sockets(families, 8443),
        "filter_chains": [{"filters": [tcp("BlackHoleCluster")], "transport_socket": socket}],
    }


def clusters(families: tuple[int, ...], further: int = 0) -> list[Json]:
    """The three clusters that the listeners name, and as many further ones as asked for."""
    sources = {4: "127.0.0.6", 6: "::6"}
    first, *others = [{"address": sources[family], "port_value": 0} for family in families]
    extra = {"extra_source_addresses": [{"address": other} for other in others]}
    original = {"@type": CLUSTER, "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"}
    bound = {"upstream_bind_config": {"source_address": first, **(extra if others else {})}}
    return [
        {**original, "name": "InboundPassthroughCluster", **bound},
        {**original, "name": "PassthroughCluster"},
        {"@type": CLUSTER, "type": "STATIC", "name": "BlackHoleCluster"},
        *(
            {"@type": CLUSTER, "type": "STATIC", "name": f"outbound|80||service-{n}.shop.svc"}
            for n in range(further)
        ),
    ]


def write(path: Path, resources: list[Json], version: int = 1) -> None:
    """Put an update where Envoy watches: by renaming, as it demands."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"version_info": str(version), "resources": resources}))
    new.replace(path)
