"""Rows of the catalogue as documents, with the command that examines a port by hand. Pure."""

import msgspec

from exporter.catalogue import Port
from exporter.diagnosis import causes_on
from exporter.model import Target
from exporter.parsing import bracketed


class CauseShown(msgspec.Struct, frozen=True, kw_only=True):
    """A cause that shows on a port."""

    cause: str
    sentence: str


class PortDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the catalogue. Versions are Istio lines ("1.24"); null means no bound."""

    port: int
    name: str
    role: str
    component: str
    bind: str
    protocol: str
    category: str
    purpose: str
    escapes_capture: bool
    moved_by: str
    since: str | None
    until: str | None
    probe: str
    pod_probe: str
    by_hand: str
    causes: tuple[CauseShown, ...]


def port_document(row: Port) -> PortDocument:
    """The document of one catalogue row, with the sentences of the causes that show on it."""
    return PortDocument(
        port=row.number,
        name=row.name,
        role=row.role,
        component=row.component,
        bind=row.bind,
        protocol=row.protocol,
        category=row.category,
        purpose=row.purpose,
        escapes_capture=row.escapes_capture,
        moved_by=row.moved_by_text,
        since=_line(row.since),
        until=_line(row.until),
        probe=row.probe or "",
        pod_probe=row.pod_probe or "",
        by_hand=command_by_hand(row.by_hand, row.number),
        causes=tuple(CauseShown(cause=one.id, sentence=one.sentence) for one in causes_on(row)),
    )


def command_by_hand(command: str, number: int, target: Target | None = None) -> str:
    """The command that examines the port by hand; with placeholders where no target is given."""
    address = target.addresses[0] if target and target.addresses else "POD_IP"
    return command.format(
        address=bracketed(address),
        port=number,
        pod=target.key.pod if target else "POD",
        namespace=target.key.namespace if target else "NAMESPACE",
    )


def _line(version: tuple[int, int] | None) -> str | None:
    return None if version is None else f"{version[0]}.{version[1]}"
