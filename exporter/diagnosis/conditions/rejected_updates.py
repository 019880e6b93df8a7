"""Conditions of the cause about updates that Envoy has rejected, or could not carry out. Pure."""

import re
from collections.abc import Mapping

from exporter.diagnosis.case import Case, Sentences
from exporter.model import PortName, Role

LISTENERS = (PortName.VIRTUAL_OUTBOUND, PortName.VIRTUAL_INBOUND)
"""The two listeners that Envoy binds on every sidecar."""


def _failed_listeners(case: Case) -> tuple[str, ...]:
    """The listeners of a sidecar that Envoy could not create; which one only admin reports."""
    stats, admin = case.stats(), case.admin()
    wanted = [case.evidence.named[name] for name in LISTENERS if name in case.evidence.named]
    if case.target.role is not Role.SIDECAR or stats is None or not stats.listener_create_failures:
        return ()
    if admin is None or admin.listeners is None:
        missing = " or ".join(str(port.number) for port in wanted)
        is_current = case.memory.rejected.get("lds")
    else:
        listed = {listener.name for listener in admin.listeners}
        missing = " and ".join(str(port.number) for port in wanted if port.name not in listed)
        is_current = True
    if not missing or not is_current:
        return ()
    return (f"Envoy could not create the listener on {missing}",)


def rejection_is_undecided(case: Case) -> bool:
    """Whether updates were rejected before the first poll, and perhaps accepted since."""
    stats = case.stats()
    counts = {"cds": stats.cds_rejected, "lds": stats.lds_rejected} if stats else {}
    return any(count and name not in case.memory.rejected for name, count in counts.items())


def update_was_rejected(case: Case) -> Sentences:
    """A rejected update that no success has followed, or one that admin lists as rejected.

    A listener that could not be created for another reason than a taken port is one.
    """
    rejected = [name for name, value in case.memory.rejected.items() if value]
    failed = _failed_listeners(case)
    if not rejected and not failed:
        return None
    updates = [f"the last {name.upper()} update was rejected" for name in sorted(rejected)]
    reasons = [f"{listener}: {reason}" for listener, reason in _reasons(case).items()]
    if failed and not reasons:
        reasons = ["Envoy's log has the reason, and admin where the pod view reads it"]
    return (*updates, *failed, *reasons)


def grant_for_listener(case: Case) -> str:
    """The advice where Envoy lacks the privilege for a listener; empty where it does not."""
    if not any(_DENIED.search(reason) for reason in _reasons(case).values()):
        return ""
    return (
        "Give the proxy the capability that the listener needs: NET_ADMIN for interception mode "
        "TPROXY, NET_BIND_SERVICE for ports below 1024."
    )


def _reasons(case: Case) -> Mapping[str, str]:
    """Envoy's reason by rejected listener, as admin last reported it."""
    admin = case.admin()
    return (admin.rejected or {}) if admin else {}


_DENIED = re.compile(r"operation not permitted|permission denied", re.IGNORECASE)
