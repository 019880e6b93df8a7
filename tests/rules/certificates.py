"""Cases of the alerts about certificates. promtool's time begins at 0, so lives begin before."""

from tests.rules.promtool import Case, ExpectedAlert
from tests.rules.series import diagnosis, info, of

EXPIRY = "istio_target_certificate_expiry_timestamp_seconds"
BEGIN = "istio_target_certificate_not_before_timestamp_seconds"
SERVER = "istio_proxy_server_certificate_expiry_timestamp_seconds"
SERVER_BEGIN = "istio_proxy_server_certificate_not_before_timestamp_seconds"
HOUR = 3600
DAY = 24 * HOUR
WEB = {"namespace": "shop", "pod": "web-1", "role": "sidecar"}
MISSED = "1x5 stale 1x24"
ISTIOD = {"namespace": "istio-system", "pod": "istiod-1", "role": "istiod"}


def life(
    start: str, end: str, pod: str = "web-1", source: str = "wire", certificate: str = "workload"
) -> dict[str, str]:
    """The two series of a certificate."""
    shown = {"certificate": certificate, "source": source}
    return {of(BEGIN, pod, **shown): start, of(EXPIRY, pod, **shown): end}


def server(start: str, end: str, name: str = "a.example", **labels: str) -> dict[str, str]:
    """The two series of the certificate that a gateway presents for a name."""
    shown = {"pod": "web-1", "role": "gateway", "port": "8443", "server_name": name} | labels
    return {of(SERVER_BEGIN, **shown): start, of(SERVER, **shown): end}


def root(pod: str, fingerprint: str, values: str) -> dict[str, str]:
    """The root that a proxy presents."""
    return {of("istio_proxy_root_info", pod, fingerprint=fingerprint): values}


def renewed_hourly(cycles: int, seen_late: int) -> dict[str, str]:
    """A healthy certificate of one hour: renewed each 30 minutes, read once an hour.

    Each reading finds one that is so many minutes old.
    """
    starts = [(hour * 60 - seen_late) * 60 for hour in range(cycles)]
    begin = " ".join(f"{start}x59" for start in starts)
    return life(begin, " ".join(f"{start + HOUR}x59" for start in starts))


CASES = (
    Case(
        "IstioCertificateExpired",
        "fires",
        "the presented certificate of a day has expired",
        life(f"{-20 * HOUR}x300", f"{4 * HOUR}x300"),
        {
            230: {"IstioCertificatesNotRenewed": 1},
            250: {"IstioCertificateExpired": 1, "IstioCertificatesNotRenewed": 1},
        },
        ExpectedAlert(
            250,
            {**WEB, "certificate": "workload"},
            "The workload certificate of the sidecar shop/web-1 has expired: mTLS with it fails."
            " Check that the agent reaches istiod's 15012 and that the clocks agree; restart the"
            " pod to renew.",
        ),
    ),
    Case(
        "IstioCertificateExpired",
        "quiet",
        "certificates of a day, renewed at half of their life",
        life(f"{-11 * HOUR}x59 {HOUR}x180", f"{13 * HOUR}x59 {25 * HOUR}x180"),
        {240: {}},
    ),
    Case(
        "IstioCertificateExpired",
        "trap",
        "certificates of an hour are renewed between two readings",
        renewed_hourly(4, seen_late=29),
        {230: {}},
    ),
    Case(
        "IstioCertificateExpired",
        "trap",
        "a certificate of an hour that is not renewed",
        life("0x300", f"{HOUR}x300"),
        {65: {}, 80: {"IstioCertificateExpired": 1}, 300: {"IstioCertificateExpired": 1}},
    ),
    Case(
        "IstioCertificateExpired",
        "trap",
        "only the agent reports it, or only the diagnosis: one alert each",
        {
            of(EXPIRY, "web-1", certificate="workload", source="agent"): "60x30",
            diagnosis("web-1", "certificate_expired"): "_x1 1x29",
            diagnosis("web-2", "certificate_expired"): "1x30",
        },
        {4: {}, 8: {"IstioCertificateExpired": 2}, 30: {"IstioCertificateExpired": 2}},
    ),
    Case(
        "IstioCertificateExpired",
        "trap",
        "istiod's serving certificate, by the cause and by its end: one alert, istiod's advice",
        {
            diagnosis("istiod-1", "certificate_expired", "istiod", "istio-system"): "1x30",
            of(BEGIN, **ISTIOD, certificate="serving", source="wire"): f"{-90 * DAY}x30",
            of(EXPIRY, **ISTIOD, certificate="serving", source="wire"): "0x30",
        },
        {4: {}, 8: {"IstioCertificateExpired": 1}, 30: {"IstioCertificateExpired": 1}},
        ExpectedAlert(
            30,
            {**ISTIOD, "certificate": "serving"},
            "The serving certificate of the istiod istio-system/istiod-1 has expired: proxies and"
            " the API server refuse it. Restart this istiod, which then issues its own certificate"
            " anew; where a secret brings it, renew that. Check the authority's certificate (secret"
            " cacerts or istio-ca-secret) and the clocks first.",
        ),
    ),
    Case(
        "IstioCertificateExpired",
        "trap",
        "the certificate of a gateway's server is not the workload's: one alert",
        {
            diagnosis("web-1", "certificate_expired", "gateway"): "1x30",
            of(SERVER, "web-1", "gateway", port="8443", server_name="a.example"): "0x30",
            of(SERVER, "web-1", "gateway", port="8443", server_name="b.example"): f"{DAY}x30",
        },
        {4: {}, 8: {"IstioCertificateExpired": 1}, 30: {"IstioCertificateExpired": 1}},
        ExpectedAlert(
            30,
            {**WEB, "role": "gateway", "certificate": "server"},
            "A server of the gateway shop/web-1 presents a certificate that has expired: its"
            " clients refuse it. Renew it in the secret that the Gateway names (credentialName, or"
            " certificateRefs), or look why its issuer does not; the gateway needs no restart.",
        ),
    ),
    Case(
        "IstioCertificateExpired",
        "trap",
        "a server's certificate was renewed since it was read, and one that the cause is not about",
        {
            of(SERVER, "web-1", "gateway", port="8443", server_name="a.example"): "600x30",
            diagnosis("web-2", "certificate_expired", "gateway"): "1x30",
            of(SERVER, "web-2", "gateway", port="8443", server_name="a.example"): f"{DAY}x30",
        },
        {4: {}, 8: {"IstioCertificateExpired": 1}, 30: {"IstioCertificateExpired": 1}},
        ExpectedAlert(
            30,
            {**WEB, "pod": "web-2", "role": "gateway", "certificate": "workload"},
            "The workload certificate of the gateway shop/web-2 has expired: mTLS with it fails."
            " Check that the agent reaches istiod's 15012 and that the clocks agree; restart the"
            " pod to renew.",
        ),
    ),
    Case(
        "IstioCertificateExpired",
        "trap",
        "servers of every gateway of a deployment are one alert, of one in four its own",
        {
            "istio_port_exporter_build_info": MISSED,
            info("web-{1..4}", "gateway", workload="web"): MISSED,
            info("old-{1..2}", "gateway", workload="old"): MISSED,
            **{
                series: MISSED
                for pods in ("web-1", "old-{1..2}")
                for series in (
                    diagnosis(pods, "certificate_expired", "gateway"),
                    of(SERVER, pods, "gateway", port="8443", server_name=""),
                )
            },
        },
        {
            4: {"IstioGatewaysFailing": 1},
            8: {"IstioCertificateExpired": 1, "IstioGatewaysFailing": 1},
            30: {"IstioCertificateExpired": 1, "IstioGatewaysFailing": 1},
        },
    ),
    Case(
        "IstioCertificatesNotRenewed",
        "fires",
        "past three quarters of a day",
        life(f"{-16 * HOUR}x240", f"{8 * HOUR}x240", pod="web-{1..3}"),
        {120: {}, 135: {"IstioCertificatesNotRenewed": 1}},
        ExpectedAlert(
            135,
            {"namespace": "shop", "role": "sidecar", "certificate": "workload"},
            "3 workload certificates of the role sidecar in shop should have been renewed by now."
            " Check that the agents reach istiod's 15012, and istiod's log for refused signing"
            " requests.",
        ),
    ),
    Case(
        "IstioCertificatesNotRenewed",
        "quiet",
        "a certificate of a day, renewed at half of its life",
        life(f"{-11 * HOUR}x59 {HOUR}x180", f"{13 * HOUR}x59 {25 * HOUR}x180"),
        {240: {}},
    ),
    Case(
        "IstioCertificatesNotRenewed",
        "trap",
        "certificates of an hour are renewed between two readings",
        renewed_hourly(4, seen_late=29),
        {230: {}},
    ),
    Case(
        "IstioCertificatesNotRenewed",
        "trap",
        "five hundred at once: one for each namespace",
        life(f"{-20 * HOUR}x30", f"{4 * HOUR}x30", pod="web-{0..499}"),
        {9: {}, 15: {"IstioCertificatesNotRenewed": 1}, 30: {"IstioCertificatesNotRenewed": 1}},
    ),
    Case(
        "IstioGatewayCertificateEnding",
        "fires",
        "eight days of ninety are left, at two names of each of three pods",
        server(f"{-82 * DAY}x120", f"{8 * DAY}x120", pod="web-{1..3}")
        | server(f"{-82 * DAY}x120", f"{8 * DAY}x120", "b.example", pod="web-{1..3}"),
        {74: {}, 80: {"IstioGatewayCertificateEnding": 1}},
        ExpectedAlert(
            80,
            {"namespace": "shop"},
            "Certificates that gateways in shop present are in the last tenth of their"
            " lifetime (servers and names: 2). Clients will refuse them once they have expired."
            " Renew them in the secret that the Gateway names (credentialName, or certificateRefs),"
            " or look why their issuer does not.",
        ),
    ),
    Case(
        "IstioGatewayCertificateEnding",
        "quiet",
        "thirty days of ninety, when an issuer renews; ten years of which one is left",
        server(f"{-60 * DAY}x120", f"{30 * DAY}x120")
        | server(f"{-3315 * DAY}x120", f"{335 * DAY}x120", "b.example"),
        {120: {}},
    ),
    Case(
        "IstioGatewayCertificateEnding",
        "trap",
        "one of four hours, renewed in time and read once an hour",
        {
            of(SERVER_BEGIN, "web-1", "gateway", port="8443", server_name=""): "0x219 9600x240",
            of(SERVER, "web-1", "gateway", port="8443", server_name=""): "14400x219 24000x240",
        },
        {240: {}, 450: {}},
    ),
    Case(
        "IstioGatewayCertificateEnding",
        "trap",
        "an issuer that stopped ends every name of three namespaces: one for the mesh, until then",
        {
            series: values
            for namespace in ("shop", "bank", "blog")
            for series, values in server(
                f"{-142 * HOUR}x200", f"{2 * HOUR}x200", namespace=namespace
            ).items()
        },
        {80: {"IstioGatewayCertificateEnding": 1}, 140: {}},
        ExpectedAlert(
            80,
            {},
            "Certificates that gateways in several namespaces present are in the last tenth of"
            " their lifetime (servers and names: 3). Clients will refuse them once they have"
            " expired."
            " Renew them in the secret that the Gateway names (credentialName, or certificateRefs),"
            " or look why their issuer does not.",
        ),
    ),
    Case(
        "IstioGatewayCertificateEnding",
        "trap",
        "scrapes are missed now and then",
        {
            series: "_x4".join([f" {values} "] * 10).strip()
            for series, values in server(f"{-82 * DAY}x15", f"{8 * DAY}x15").items()
        },
        {80: {"IstioGatewayCertificateEnding": 1}, 180: {"IstioGatewayCertificateEnding": 1}},
    ),
    Case(
        "IstioRootCertificateEnding",
        "fires",
        "twenty days are left",
        {
            of(EXPIRY, "web-{1..3}", certificate="root", source="admin"): f"{20 * DAY}x120",
            of(EXPIRY, "old-1", certificate="root", source="admin"): f"{19 * DAY}x120",
        },
        {59: {}, 90: {"IstioRootCertificateEnding": 1}},
        ExpectedAlert(
            90,
            {},
            "It expires in 18d 22h 30m 0s, and all mTLS of the mesh with it. Plan its rotation"
            " now: every proxy has to trust a new root before it signs.",
        ),
    ),
    Case(
        "IstioRootCertificateEnding",
        "quiet",
        "ten years are left",
        {of(EXPIRY, "web-1", certificate="root", source="admin"): f"{3650 * DAY}x120"},
        {120: {}},
    ),
    Case(
        "IstioRootCertificateEnding",
        "trap",
        "a certificate of a day is no root",
        life("0x120", f"{DAY}x120"),
        {120: {}},
    ),
    Case(
        "IstioCertificateBehindAgent",
        "fires",
        "Envoy never took what the agent has",
        {
            **life("0x200", f"{DAY}x200"),
            of(EXPIRY, "web-1", certificate="workload", source="agent"): f"{36 * HOUR}x200",
        },
        {74: {}, 80: {"IstioCertificateBehindAgent": 1}},
        ExpectedAlert(
            80,
            WEB,
            "The agent of shop/web-1 has renewed the certificate, but Envoy still presents one"
            " that expires 12h 0m 0s earlier. Restart the pod before it expires.",
        ),
    ),
    Case(
        "IstioCertificateBehindAgent",
        "quiet",
        "both report the same but for rounding",
        {
            **life("0x200", f"{DAY}x200"),
            of(EXPIRY, "web-1", certificate="workload", source="agent"): f"{DAY + 60}x200",
        },
        {200: {}},
    ),
    Case(
        "IstioCertificateBehindAgent",
        "trap",
        "the presented certificate is read once an hour",
        {
            **life(f"0x60 {12 * HOUR}x140", f"{DAY}x60 {36 * HOUR}x140"),
            of(EXPIRY, "web-1", certificate="workload", source="agent"): f"{DAY} {36 * HOUR}x200",
        },
        {200: {}},
    ),
    Case(
        "IstioProxyRootsDiffer",
        "fires",
        "one proxy keeps the old root",
        root("web-1", "aaaa", "1x1700") | root("web-2", "bbbb", "1x1700"),
        {1500: {}, 1600: {"IstioProxyRootsDiffer": 1}},
        ExpectedAlert(
            1600,
            {},
            "Certificates of 2 roots have been in use for more than a day: proxies that trust one"
            " of them only refuse the others' connections. Restart the workloads whose"
            " istio_proxy_root_info has the old one.",
        ),
    ),
    Case(
        "IstioProxyRootsDiffer",
        "quiet",
        "one root",
        root("web-1", "aaaa", "1x1700") | root("web-2", "aaaa", "1x1700"),
        {1700: {}},
    ),
    Case(
        "IstioProxyRootsDiffer",
        "trap",
        "a rotation that ends within a day",
        root("web-1", "aaaa", "1x700 _x1000")
        | root("web-1", "bbbb", "_x701 1x1000")
        | root("web-2", "bbbb", "1x1700"),
        {1700: {}},
    ),
)
