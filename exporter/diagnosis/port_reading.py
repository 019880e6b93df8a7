"""What is read of a port before it is a verdict. Pure."""

from msgspec import Struct

from exporter.model import Outcome, View


class PortReading(Struct, frozen=True):
    """What one address, or the pod's view, shows of a port.

    `reached`: a connection came that far. `structural` as a verdict has it. `is_undecided`: the
    outcome proves neither that the port is up nor that it is down.
    """

    outcome: Outcome
    detail: str = ""
    seconds: float = 0.0
    view: View = View.NETWORK
    reached: bool = True
    structural: bool = False
    is_undecided: bool = False

    @property
    def up(self) -> bool | None:
        """Whether the port is up by this alone; None where it is unjudged."""
        return None if self.is_undecided else self.outcome.up

    @property
    def rank(self) -> int:
        """Down before unjudged before up: up means on every address."""
        return {False: 0, None: 1, True: 2}[self.up]
