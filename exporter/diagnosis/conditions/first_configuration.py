"""Conditions of the causes that keep a proxy from its first configuration. Pure."""

from exporter.diagnosis.case import Case, Sentences
from exporter.diagnosis.liveness import READINESS_PORTS
from exporter.model import Role


def identity_is_missing(case: Case) -> Sentences:
    """No configuration and no certificate, because signing requests are refused or not answered.

    The agent retries a request only where nobody answers it: a refusal fails at once. Retries
    speak against the authority where istiod's XDS answers show that istiod itself is reached.
    """
    agent = case.agent()
    if agent is None or not case.lacks_configuration() or _has_certificate(case):
        return None
    failed, retried = agent.csr_failures, agent.csr_retries
    if failed > 0 and retried == 0:
        count = f"{failed:.0f} certificate requests failed, none was retried"
        return (*case.describe(*READINESS_PORTS), count)
    if agent.xds_responses > 0 and (failed > 0 or retried > 0):
        counts = f"{failed:.0f} certificate requests failed, they were retried {retried:.0f} times"
        answers = f"{agent.xds_responses:.0f} XDS answers came, so istiod is reached"
        return (*case.describe(*READINESS_PORTS), counts, answers)
    return None


def _has_certificate(case: Case) -> bool:
    """Whether agent or admin shows a workload certificate, so that one was issued."""
    agent, admin = case.agent(), case.admin()
    if admin is not None and admin.workload_certificate is not None:
        return True
    return agent is not None and agent.workload_certificate_seconds is not None


def _was_issued(case: Case) -> bool:
    """Whether istiod's authority has issued a certificate, and no signing request failed."""
    agent = case.agent()
    if case.target.settings.issued_elsewhere or (agent and agent.csr_failures):
        return False
    return _has_certificate(case)


def configuration_is_partial(case: Case) -> Sentences:
    """No configuration that Envoy could serve with, although XDS answers or a certificate came."""
    if not case.lacks_configuration():
        return None
    agent, state = case.agent(), case.evidence.admin_state()
    if agent is not None and agent.xds_responses > 0:
        answers = f"{agent.xds_responses:.0f} XDS answers came"
        return (*case.describe(*READINESS_PORTS), answers)
    issued = (
        ["a certificate was issued, and no signing request failed"] if _was_issued(case) else []
    )
    if issued and _awaits_bootstrap(case):
        issued.append("Envoy has not requested configuration yet")
    if issued or state == "INITIALIZING":
        reports = [f"Envoy reports {state}"] if state else []
        return (*case.describe(*READINESS_PORTS), *issued, *reports)
    return None


def _awaits_bootstrap(case: Case) -> bool:
    """Whether an Envoy has requested nothing: it first resolves the clusters of its bootstrap."""
    agent = case.agent()
    is_envoy = case.target.role is not Role.PROXYLESS
    return is_envoy and agent is not None and not agent.xds_requests


def bootstrap_advice(case: Case) -> str:
    """The advice where Envoy waits before its first request; empty where it has sent one."""
    if not (_was_issued(case) and _awaits_bootstrap(case)):
        return ""
    return (
        "Check the pod's DNS and the host names in the proxy's bootstrap, such as the tracing "
        "address: Envoy resolves them before it requests configuration."
    )


def istiod_never_answered(case: Case) -> Sentences:
    """No configuration, no XDS answer and no certificate; once the agent's page was requested."""
    if not case.lacks_configuration() or _was_issued(case):
        return None
    agent = case.agent()
    if agent is None and case.memory.page is None:
        return None
    sentences = ["no XDS answer came" if agent else "the agent's counters cannot be read"]
    if agent is not None and agent.csr_retries:
        sentences.append(f"certificate requests were retried {agent.csr_retries:.0f} times")
    return (*case.describe(*READINESS_PORTS), *sentences)
