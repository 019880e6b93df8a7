"""What this instance cannot see, why, and which families that costs; one sentence each."""

from dataclasses import dataclass
from pathlib import Path

from exporter.catalogue import PORTS
from exporter.config import Config, IstiodConfig
from exporter.control_plane.proxy_sync import why_incomplete
from exporter.model import WebhookPath

CAPABILITIES = (
    "loopback",
    "netns",
    "dual_stack",
    "hello",
    "exposure",
    "application_probes",
    "istiod",
    "istiod_certificates",
    "debug_token",
    "webhook_dry_run",
)
"""The values of `istio_port_exporter_capability`."""


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


def missing_capabilities(  # noqa: PLR0913 - one for each thing that takes a capability away
    config: Config,
    *,
    pod_view: bool,
    trouble: str,
    refused: str = "",
    webhook: WebhookPath | None = None,
    bypassed: str = "",
    untrusted: str = "",
) -> list[MissingCapability]:
    """What cannot be seen.

    `pod_view`: a target's netns is known; `trouble`: why it fails, if so; `refused`: why
    port-forwards do; `webhook`: what the last dry run showed; `bypassed`: which address family no
    proxy binds, so that its traffic passes the mesh by; `untrusted`: which istiods do not count.
    """
    pod_view = pod_view or config.access.loopback == "netns"
    off = {
        **_switched_off(config),
        "debug_token": _not_synced(config, untrusted),
        "loopback": (
            bool(refused) or (config.access.loopback == "none" and not pod_view),
            refused
            or (
                f"15001 and the loopback ports {_LOOPBACK_PORTS} are not seen from inside: "
                "no access to pods is configured (access.loopback, or a target's netns)"
            ),
        ),
        "dual_stack": (bool(bypassed), bypassed),
        "netns": (
            bool(trouble) or not pod_view,
            trouble if pod_view else "socket tables: no target has a netns",
        ),
        "webhook_dry_run": (
            not config.istiod.webhook_dry_run.enabled or _is_refused(webhook),
            "the API server's way to the injection webhook (istio_control_plane_webhook_path_up): "
            + (webhook.detail if webhook else "istiod.webhook_dry_run.enabled is off"),
        ),
    }
    unasked = _not_asked_for(config, pod_view=pod_view)
    return [
        MissingCapability(capability, off[capability][1], capability in unasked)
        for capability in CAPABILITIES
        if off[capability][0]
    ]


def _not_asked_for(config: Config, *, pod_view: bool) -> frozenset[str]:
    """The capabilities that this configuration leaves out."""
    istiod = config.istiod
    is_managed = istiod.mode == "none"
    left_out = {
        "loopback": config.access.loopback == "none" and not pod_view,
        "netns": not pod_view,
        "hello": not config.poll.hello,
        "exposure": not config.poll.exposure,
        "application_probes": not config.poll.application_probes,
        "istiod": is_managed,
        "istiod_certificates": is_managed or istiod.root_cert_file == _NO_ROOT_CHOSEN,
        "debug_token": is_managed or not istiod.debug_token_file,
        "webhook_dry_run": not istiod.webhook_dry_run.enabled,
    }
    return frozenset(capability for capability, is_left_out in left_out.items() if is_left_out)


def _switched_off(config: Config) -> dict[str, tuple[bool, str]]:
    """What the configuration alone decides: by capability, whether it is off, and its sentence."""
    is_managed = config.istiod.mode == "none"
    return {
        "hello": (not config.poll.hello, "15006 and wire certificates: poll.hello is off"),
        "exposure": (not config.poll.exposure, "an exposed admin port: poll.exposure is off"),
        "application_probes": (
            not config.poll.application_probes,
            "application health: poll.application_probes is off",
        ),
        "istiod": (
            is_managed,
            "the control plane (istio_control_plane_*): istiod.mode is none, it is managed",
        ),
        "istiod_certificates": (
            not is_managed and not Path(config.istiod.root_cert_file).is_file(),
            (
                "whether the certificates of 15012 and 15017 are the mesh's: there is no "
                f"{config.istiod.root_cert_file} (istiod.root_cert_file)"
            ),
        ),
    }


def _not_synced(config: Config, untrusted: str) -> tuple[bool, str]:
    why = _why_unlisted(config) or untrusted
    return bool(why), f"what istiod says of its proxies (istio_proxy_xds_synced, _known): {why}"


def _why_unlisted(config: Config) -> str:
    """Why what istiods report is not published; empty where it is, here or by another shard."""
    if config.istiod.mode == "none":
        return "no istiod is looked at"
    return why_incomplete(config) if config.istiod.debug_token_file else "no debug token"


def _is_refused(webhook: WebhookPath | None) -> bool:
    """Whether the dry run was tried and showed nothing."""
    return webhook is not None and webhook.up is None


OFF_BY_DEFAULT = frozenset(
    one.capability
    for one in missing_capabilities(Config(), pod_view=False, trouble="")
    if one.is_switched_off
)
"""What nobody has to have chosen to leave out."""
