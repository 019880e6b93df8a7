"""Ports that people meet in Istio's documents and on which no proxy or istiod listens.

They are never probed as ports of Istio's; `explain` says what they are. Pure.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OtherPort:
    """A port that is not in `PORTS`, and what it is instead."""

    port: int
    name: str
    purpose: str


OTHER_PORTS = (
    OtherPort(
        443,
        "https",
        "The port of a Service, not of a pod: istiod's Service leads from 443 (https-webhook) to"
        " 15017, an ingress gateway's usually from 443 to 8443 of the gateway's pods. A gateway"
        " listens on the ports of its Gateway's servers, and on 443 itself only where one says so.",
    ),
    OtherPort(
        15002,
        "iptables-probe",
        "Nobody listens: a destination that the init container istio-validation dials on 127.0.0.6"
        " to see whether redirection brings the connection to 15001 (--iptables-probe-port). An"
        " error about 127.0.0.6:15002 means that redirection is not set up in that pod.",
    ),
    OtherPort(
        15011,
        "grpc-xds-mtls",
        "Obsolete: XDS over mutual TLS of Pilot up to Istio 1.5, replaced by 15012. Nothing listens"
        " today; only istiod's NetworkPolicy still names it.",
    ),
    OtherPort(
        15443,
        "tls",
        "An east-west gateway's server for other networks and clusters: Envoy passes mutual TLS"
        " through by its SNI (AUTO_PASSTHROUGH). It is open where a Gateway asks for it, and is"
        " judged with that gateway's other servers.",
    ),
    OtherPort(
        15999,
        "control",
        "Not Istio's: the control port to which this exporter connects because nobody serves it. A"
        " captured sidecar accepts it, so it shows redirection; it is refused where there is none."
        " It moves away from ports that are in use.",
    ),
)
