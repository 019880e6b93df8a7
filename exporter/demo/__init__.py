"""A mesh of stand-ins that answer as real processes were recorded, on their true ports.

A scenario is a recorded state: `recording` reads it, `script` decides what it answers, `standin`
sends it on real sockets, `network` and `stage` put it behind real redirection, `mesh` is what
the demo, the tests and the recordings runner use.
"""

from exporter.demo.kernel import can_build_networks, enter_own_network, why_no_networks
from exporter.demo.mesh import DemoPod, Mesh, MeshError, mesh
from exporter.demo.recorded_state import RecordedState
from exporter.demo.recording import SHIPPED, load_states
