"""What this instance cannot see, why, and which families that costs; one sentence each."""

from dataclasses import dataclass
from pathlib import Path

from exporter.catalogue import PORTS
from exporter.config import Config, IstiodConfig
from exporter.control_plane.proxy_sync import why_incomplete
from exporter.model import WebhookPath

_LOOPBACK_PORTS = ", ".join(
    dict.fromkeys(str(row.number) for row in PORTS if row.bind == "loopback")
)

_NO_ROOT_CHOSEN = IstiodConfig().root_cert_file


@dataclass(frozen=True, slots=True)
class MissingCapability:
    """Something that this instance cannot see, why, and how to change that.

    `is_switched_off`: the configuration does not ask for it.
    """

    capability: str
    sentence: str
    is_switched_off: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What decides on capabilities: the configuration, and what was found since.

    `pod_view`: a target's netns is known; `trouble`: why it fails, if so; `refused`: why
    port-forwards do; `webhook`: what the last dry run showed; `bypassed`: which address family no
    proxy binds, so that its traffic passes the mesh by; `untrusted`: which istiods do not count.
    """

    config: Config
    pod_view: bool = False
    trouble: str = ""
    refused: str = ""
    webhook: WebhookPath | None = None
    bypassed: str = ""
    untrusted: str = ""


def missing_capabilities(now: Situation) -> tuple[MissingCapability, ...]:
    """What cannot be seen, in the order of `CAPABILITIES`."""
    return tuple(
        MissingCapability(name, why, is_switched_off)
        for name, (why, is_switched_off) in _capabilities(now).items()
        if why
    )


def _capabilities(now: Situation) -> dict[str, tuple[str, bool]]:
    """By capability: why it is missing, empty where it is not; whether it is switched off."""
    poll, istiod, loopback = now.config.poll, now.config.istiod, now.config.access.loopback
    is_managed = istiod.mode == "none"
    sees_pods = now.pod_view or loopback == "netns"
    no_access = loopback == "none" and not sees_pods
    root, dry_run = istiod.root_cert_file, istiod.webhook_dry_run.enabled
    return {
        "loopback": (now.refused or _unless(not no_access, _NO_ACCESS), no_access),
        "netns": (
            now.trouble if sees_pods else "socket tables: no target has a netns",
            not sees_pods,
        ),
        "dual_stack": (now.bypassed, False),
        "hello": (_unless(poll.hello, _NO_HELLO), not poll.hello),
        "exposure": (_unless(poll.exposure, _NO_EXPOSURE), not poll.exposure),
        "application_probes": (
            _unless(poll.application_probes, "application health: poll.application_probes is off"),
            not poll.application_probes,
        ),
        "istiod": (_unless(not is_managed, _MANAGED), is_managed),
        "istiod_certificates": (
            _unless(is_managed or Path(root).is_file(), _NO_ROOT.format(root)),
            is_managed or root == _NO_ROOT_CHOSEN,
        ),
        "debug_token": (_why_unlisted(now), is_managed or not istiod.debug_token_file),
        "webhook_dry_run": (_why_not_tried(now.webhook, is_enabled=dry_run), not dry_run),
    }


_NO_ACCESS = (
    f"15001 and the loopback ports {_LOOPBACK_PORTS} are not seen from inside: "
    "no access to pods is configured (access.loopback, or a target's netns)"
)
_NO_HELLO = "15006 and wire certificates: poll.hello is off"
_NO_EXPOSURE = "an exposed admin port: poll.exposure is off"
_MANAGED = "the control plane (istio_control_plane_*): istiod.mode is none, it is managed"
_NO_ROOT = (
    "whether the certificates of 15012 and 15017 are the mesh's: there is no {} "
    "(istiod.root_cert_file)"
)


def _unless(is_seen: bool, sentence: str) -> str:  # noqa: FBT001 - what the sentence denies
    return "" if is_seen else sentence


def _why_unlisted(now: Situation) -> str:
    """Why what istiods report is not published; empty where it is, here or by another shard."""
    if now.config.istiod.mode == "none":
        why = "no istiod is polled"
    elif now.config.istiod.debug_token_file:
        why = why_incomplete(now.config) or now.untrusted
    else:
        why = "no debug token"
    return why and f"what istiod reports of its proxies (istio_proxy_xds_synced, _known): {why}"


def _why_not_tried(webhook: WebhookPath | None, *, is_enabled: bool) -> str:
    """Why no dry run shows the way to the webhook; one that shows nothing is as good as none."""
    if is_enabled and (webhook is None or webhook.up is not None):
        return ""
    why = webhook.detail if webhook else "istiod.webhook_dry_run.enabled is off"
    path = "the API server's way to the injection webhook (istio_control_plane_webhook_path_up)"
    return f"{path}: {why}"


CAPABILITIES = tuple(_capabilities(Situation(config=Config())))
"""The values of `istio_port_exporter_capability`."""

OFF_BY_DEFAULT = frozenset(
    one.capability
    for one in missing_capabilities(Situation(config=Config()))
    if one.is_switched_off
)
"""What nobody has to have chosen to leave out."""
