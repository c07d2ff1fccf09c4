"""A destination of the contract that is played by a server of faults: what is the same whatever it speaks."""

from collections.abc import Sequence

from tests.connectors import fault_server
from tests.connectors.contract import Stage
from tests.connectors.fault_server import FaultServer


class FaultStage(Stage):
    """Subclasses say what the server answers; the rest is here."""

    def __init__(self, server: FaultServer) -> None:
        self.server = server

    def hang(self) -> None:
        self.server.behaviour = fault_server.hang

    def vanish(self) -> None:
        self.server.behaviour = fault_server.reset

    def keys(self) -> Sequence[str]:
        found = [request.headers.get("idempotency-key") for request in self.server.received]
        return [key for key in found if key is not None]

    def connections(self) -> int:
        return len(self.server.open)
