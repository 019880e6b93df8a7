"""What Istio's ports are: one row per port and role, and what a given target's ports should be.

`PORTS` is the knowledge, read from Istio's source; `ports_of` turns the rows of a target's role
into `TargetPort`s by its settings and version. Pure.
"""

from exporter.catalogue.port import ExtraPort, Port, TargetPort
from exporter.catalogue.target_ports import (
    ALWAYS_EXCLUDED,
    NEWEST_VERSION,
    PORT_NUMBERS,
    PORTS,
    PORTS_BY_ROLE,
    control_port,
    is_captured,
    is_newer_than_known,
    port_number_of,
    ports_of,
    servers_of,
)
from exporter.catalogue.versions import istio_version_of, line_of, plain_version
