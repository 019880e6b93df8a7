"""Conditions of the causes on istiod replicas. Pure."""

from collections.abc import Iterator, Mapping

from exporter.diagnosis.case import NO_FAULT, Case, Sentences
from exporter.diagnosis.conditions.proxy_processes import describe_if_down, start_remedy
from exporter.diagnosis.evidence import describe
from exporter.model import Outcome, PortName, WebhookPath

_ISTIOD = (PortName.HTTP_DEBUG, PortName.GRPC_XDS, PortName.TLS_XDS, PortName.HTTP_MONITORING)


def replica_is_stuck(case: Case) -> Sentences:
    """A port of istiod accepts and stays silent; of 15017 alone only where 8080 does not answer."""
    is_ready = case.outcome(PortName.HTTP_DEBUG) is Outcome.OK
    names = _ISTIOD if is_ready else (*_ISTIOD, PortName.HTTPS_WEBHOOKS)
    stuck = [name for name in names if case.hangs(name)]
    return case.describe(*stuck) if stuck else None


def istiod_is_not_ready(case: Case) -> Sentences:
    """8080 returns 503 or refuses; or 15012, which every proxy needs, does not serve."""
    ready, xds = case.outcome(PortName.HTTP_DEBUG), case.verdict(PortName.TLS_XDS)
    if ready not in NO_FAULT and not (ready and ready.is_silent):
        return case.describe(PortName.HTTP_DEBUG)
    if xds is not None and xds.up is False and not xds.outcome.is_silent:
        return (
            *case.describe(PortName.HTTP_DEBUG, PortName.TLS_XDS),
            *_detail(case, PortName.TLS_XDS),
        )
    return describe_if_down(case)


def istiod_remedy(case: Case) -> str:
    """What to do where it was not started, or is ready and 15012 alone fails; empty elsewhere."""
    is_ready = case.outcome(PortName.HTTP_DEBUG) is Outcome.OK
    return start_remedy(case) or (_XDS_REMEDY if is_ready else "")


_XDS_REMEDY = (
    "No proxy can connect to this istiod. Read its log for its serving certificate (`The secure"
    " discovery service is disabled`), and look at PILOT_CERT_PROVIDER, at the secret istiod-tls or"
    " cacerts, and at --secureGRPCAddr."
)
"""Without a certificate or its root istiod leaves the port out, or fails every handshake
(pilot/pkg/bootstrap/server.go, initSecureDiscoveryService)."""


def _detail(case: Case, name: PortName) -> Iterator[str]:
    """The detail of a failed handshake."""
    verdict = case.verdict(name)
    if verdict is not None and verdict.outcome is Outcome.TLS_ERROR and verdict.detail:
        yield f"{verdict.port}: {verdict.detail}"


def webhook_is_dropped(case: Case) -> Sentences:
    """15017 is dropped while istiod answers; or answers while the API server cannot call it.

    What is dropped on the way from here alone, the API server may have called all the same.
    """
    if case.outcome(PortName.HTTP_DEBUG) is not Outcome.OK:
        return None
    webhook, failed = case.outcome(PortName.HTTPS_WEBHOOKS), _failed_call(case)
    called = (f"the API server cannot call it: {failed.detail}",) if failed else ()
    if webhook is Outcome.BLOCKED and not is_called(case):
        return (*case.describe(PortName.HTTP_DEBUG, PortName.HTTPS_WEBHOOKS), *called)
    if webhook is Outcome.OK and called:
        return (*case.describe(PortName.HTTPS_WEBHOOKS), *called)
    return None


def is_called(case: Case) -> bool:
    """Whether the API server's last dry run has called the webhook of such an istiod."""
    path = _call(case)
    return path is not None and path.up is True


def _failed_call(case: Case) -> WebhookPath | None:
    """The API server's last call of this istiod's webhook, if it failed."""
    path = _call(case)
    return path if path and path.up is False else None


def _call(case: Case) -> WebhookPath | None:
    """The API server's last call of this istiod's webhook, if it tried since this istiod ran."""
    path, lifecycle = case.evidence.webhook, case.target.lifecycle
    since = lifecycle.started or lifecycle.created
    if path is None or (since is not None and path.at < since):
        return None
    return path if path.revision in ("", case.target.revision) else None


def webhook_remedy(case: Case) -> str:
    """What to do about this failure of the call; empty where the cause's advice fits."""
    failed = _failed_call(case)
    return _CALL_REMEDIES.get(failed.outcome, "") if failed else ""


_CALL_REMEDIES: Mapping[Outcome, str] = {
    Outcome.TLS_ERROR: "Compare the caBundle of the webhook configuration with the mesh's root"
    " (config map istio-ca-root-cert); istiod writes it when it starts, so read its log.",
    Outcome.UNREACHABLE: "Look at the Service that the webhook configuration names: does it exist,"
    " and has it an endpoint that is ready?",
    Outcome.HTTP_ERROR: "Read istiod's log for the injection that it failed: a template or an"
    " annotation may be wrong.",
}


def webhook_is_silent(case: Case) -> Sentences:
    """8080 reports ready and 15017 does not answer as it should."""
    webhook = case.outcome(PortName.HTTPS_WEBHOOKS)
    if webhook in NO_FAULT:
        return None
    if case.outcome(PortName.HTTP_DEBUG) is Outcome.OK:
        return (
            *case.describe(PortName.HTTP_DEBUG, PortName.HTTPS_WEBHOOKS),
            *_detail(case, PortName.HTTPS_WEBHOOKS),
        )
    return None


def port_is_down(case: Case) -> Sentences:
    """A port that istiod should serve does not answer, and nothing else is wrong with it."""
    verdicts = [verdict for name in _OTHERS if (verdict := case.verdict(name)) is not None]
    down = (case.evidence.seen_port(one.port) for one in verdicts if one.up is False)
    return tuple(describe(seen) for seen in down if seen is not None) or None


_OTHERS = (PortName.GRPC_XDS, PortName.HTTP_MONITORING, PortName.CONTROLZ)
"""The ports of istiod without which it is ready and serves every proxy."""


_DEBUG_REMEDIES: Mapping[Outcome | int, str] = {
    401: "istiod does not know the debug token: mount a service account's token of audience"
    " istio-ca, and look whether it has ended.",
    403: "Run the exporter under a service account in istiod's namespace, or name its namespace in"
    " istiod's DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES (releases after March 2026).",
    404: "istiod serves no debug interface: set ENABLE_DEBUG_ON_HTTP=true on istiod, or leave"
    " istiod.debug_token_file empty.",
    Outcome.TLS_ERROR: "The token was kept back: mount the mesh's root certificate (the config map"
    " istio-ca-root-cert) as istiod.root_cert_file, or find out who answers on 15012.",
    Outcome.NO_ACCESS: "The token was kept back: istiod.debug_token_file or istiod.root_cert_file"
    " cannot be read, or holds something else.",
}
"""What to do where the debug interface does not answer us, by its status or by the outcome.

Source: Istio pilot/pkg/xds/debug.go; the authorisation by namespace came in 2026.
"""


def _debug_answer(case: Case) -> Outcome | int | None:
    """The key of `_DEBUG_REMEDIES` that is true of this istiod; None while all is well."""
    facts = case.memory.istiod.value if case.memory.istiod else None
    if facts is None:
        return None
    found: Outcome | int | None = facts.syncz_status or facts.syncz_outcome
    return found if found in _DEBUG_REMEDIES else None


def debug_refusal(case: Case) -> tuple[str, ...]:
    """What an istiod returned that does not report its proxies."""
    number = case.number(PortName.HTTP_MONITORING)
    match _debug_answer(case):
        case None:
            return ()
        case int() as status:
            return (f"{number} answers {status} at its debug interface",)
    return (f"{number} was not asked for its proxies: the debug token was kept back",)


def debug_remedy(case: Case) -> str:
    """What to do about that; empty where it is not the debug interface that is forbidden."""
    answer = _debug_answer(case)
    return "" if answer is None else _DEBUG_REMEDIES[answer]
