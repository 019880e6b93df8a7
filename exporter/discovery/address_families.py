"""The addresses of a pod that its proxy was configured to serve. Pure.

Without ISTIO_DUAL_STACK, which is Istio's default, Envoy in a pod with both families binds IPv4
alone (pkg/bootstrap/config.go, toTemplateParams), and redirection is written for the first
address's family. Where that is IPv4 the other family has neither listeners nor rules.
"""

from exporter.model import ENVOY_ROLES, Role, Settings
from exporter.parsing import parse_address


def served_addresses(addresses: tuple[str, ...], role: Role, settings: Settings) -> tuple[str, ...]:
    """The addresses whose family the proxy binds; all of them for what is no Envoy."""
    families = [address.version for one in addresses if (address := parse_address(one))]
    is_first_alone = role in ENVOY_ROLES and not settings.dual_stack and families[:1] == [4]
    if not is_first_alone:
        return addresses
    return tuple(one for one, family in zip(addresses, families, strict=True) if family == 4)  # noqa: PLR2004 - IPv4
