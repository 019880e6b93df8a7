"""Causes on a workload in ambient, whose ports are ztunnel's, and the order of all that it has."""

from exporter.diagnosis.cause import Cause
from exporter.diagnosis.conditions import ambient_hellos, ambient_workload
from exporter.model import PortName, Role

_ROLES = (Role.AMBIENT,)
_ENROLLED = (Role.GATEWAY, Role.WAYPOINT, Role.AGENTGATEWAY, Role.ISTIOD, Role.CNI)
"""What may be enrolled itself: then every connection to it is ztunnel's first."""

AMBIENT_CAUSES: tuple[Cause, ...] = (
    Cause(
        id="not_enrolled",
        roles=_ROLES,
        condition=ambient_workload.is_not_enrolled,
        sentence=(
            "The pod was to be in the mesh and never was: plaintext gets in past every policy."
        ),
        advice=(
            "Read the log of istio-cni on the pod's node, check that its selectors and "
            "excludeNamespaces allow this pod, then restart the pod."
        ),
        ports=(PortName.HBONE,),
        also="Kubernetes",
    ),
    Cause(
        id="enrolment_pending",
        roles=(*_ROLES, *_ENROLLED),
        condition=ambient_workload.enrolment_is_pending,
        conditions=dict.fromkeys(_ENROLLED, ambient_workload.enrolled_part_is_pending),
        sentence="The pod is redirected to a ztunnel that does not know it: nobody reaches it.",
        advice=(
            "Look at ztunnel on the pod's node: whether it runs, and its connection to istio-cni "
            "(the ZDS socket); istio-cni tries again once it does."
        ),
        ports=(PortName.VIRTUAL_INBOUND, PortName.HBONE),
        also="Kubernetes",
    ),
    Cause(
        id="outside_mesh",
        roles=_ROLES,
        condition=ambient_workload.has_left_mesh,
        sentence=(
            "The pod is outside the mesh though it is annotated as enrolled: mesh clients are "
            "refused, and strangers get in past every policy."
        ),
        advice=(
            "Restart the pod, then read the log of istio-cni on its node. A NetworkPolicy that "
            "answers with TCP resets looks the same: allow port-forward to have that told apart."
        ),
        ports=(PortName.VIRTUAL_INBOUND, PortName.HBONE),
        also="the control port, the application's ports",
    ),
    Cause(
        id="not_served",
        roles=(*_ROLES, *_ENROLLED),
        condition=ambient_workload.is_not_served,
        conditions=dict.fromkeys(_ENROLLED, ambient_workload.enrolled_part_is_not_served),
        sentence="No ztunnel serves this pod: mesh clients are refused.",
        advice=(
            "Look at ztunnel on the pod's node: whether it runs and counts this pod "
            "(workload_manager_active_proxy_count); restart istio-cni there, then the pod."
        ),
        ports=(PortName.VIRTUAL_INBOUND, PortName.HBONE),
        also="the control port, the application's ports",
    ),
    Cause(
        id="ztunnel_stuck",
        roles=_ROLES,
        condition=ambient_hellos.ztunnel_is_stuck,
        undetected=ambient_hellos.may_be_stuck,
        sentence="The node's ztunnel accepts connections to this pod and answers none.",
        advice=(
            "Look at ztunnel on the pod's node: its CPU limit and throttling, its state; restart "
            "it."
        ),
        ports=(PortName.VIRTUAL_INBOUND, PortName.HBONE),
    ),
    Cause(
        id="workload_unknown",
        roles=_ROLES,
        condition=ambient_hellos.workload_is_unknown,
        sentence="ztunnel does not know this workload: istiod has not told it of the pod.",
        advice=(
            "Check that istiod runs and that ztunnel on the pod's node reaches its 15012 "
            "(istioctl ztunnel-config workload)."
        ),
        ports=(PortName.HBONE,),
    ),
    Cause(
        id="identity_mismatch",
        roles=_ROLES,
        condition=ambient_hellos.identity_differs,
        sentence="The certificate on 15008 is another workload's.",
        advice=(
            "Restart the pod. If it stays, look for another process or pod at this address, and "
            "at istiod's view of it (istioctl ztunnel-config workload)."
        ),
        ports=(PortName.HBONE,),
    ),
    Cause(
        id="certificate_not_renewed",
        roles=_ROLES,
        condition=ambient_hellos.is_not_renewed,
        sentence="ztunnel has not renewed the workload's certificate when it should have.",
        advice=(
            "Read ztunnel's log on the pod's node for refused signing requests, and check istiod; "
            "once the certificate ends, mesh clients are refused."
        ),
        ports=(PortName.HBONE,),
    ),
)

AMBIENT_ORDER = (
    "network_blocked",
    "unreachable",
    "port_taken",
    "redirection_missing",
    "address_family_mismatch",
    "not_enrolled",
    "enrolment_pending",
    "outside_mesh",
    "not_served",
    "ztunnel_stuck",
    "workload_unknown",
    "identity_not_issued",
    "identity_mismatch",
    "certificate_expired",
    "certificate_not_yet_valid",
    "certificate_not_renewed",
)
"""The order on a workload in ambient, after what Kubernetes reports: the bypass of redirection
comes before what only one family or a certificate lacks."""
