"""Conditions of the causes that keep a proxy from its first configuration. Pure."""

from exporter.diagnosis.case import Case, Sentences
from exporter.diagnosis.liveness import READINESS_PORTS


def identity_is_missing(case: Case) -> Sentences:
    """No configuration, and signing requests that fail without being tried again."""
    agent = case.agent()
    if agent is None or not case.lacks_configuration():
        return None
    if agent.csr_failures > 0 and agent.csr_retries == 0:
        count = f"{agent.csr_failures:.0f} certificate requests failed, none was retried"
        return (*case.describe(*READINESS_PORTS), count)
    return None


def configuration_is_partial(case: Case) -> Sentences:
    """No configuration that Envoy could serve with, although XDS answers came."""
    if not case.lacks_configuration():
        return None
    agent, state = case.agent(), case.admin_state()
    if agent is not None and agent.xds_responses > 0:
        answers = f"{agent.xds_responses:.0f} XDS answers came"
        return (*case.describe(*READINESS_PORTS), answers)
    if state == "INITIALIZING":
        return (
            *case.describe(*READINESS_PORTS),
            "Envoy reports INITIALIZING",
        )
    return None


def istiod_never_answered(case: Case) -> Sentences:
    """No configuration and no XDS answer; only once the agent's page has been requested."""
    if not case.lacks_configuration():
        return None
    agent = case.agent()
    if agent is None and case.memory.page is None:
        return None
    sentences = ["no XDS answer came" if agent else "the agent's counters cannot be read"]
    if agent is not None and agent.csr_retries:
        sentences.append(f"certificate requests were retried {agent.csr_retries:.0f} times")
    return (*case.describe(*READINESS_PORTS), *sentences)
