"""gRPC as istiod answers it to a health check: HTTP/2 settings, then UNIMPLEMENTED. Pure."""

import h2.config
import h2.connection
import h2.events
import h2.exceptions

_UNIMPLEMENTED = [
    (":status", "200"),
    ("content-type", "application/grpc"),
    ("grpc-status", "12"),
    ("grpc-message", "unknown service grpc.health.v1.Health"),
]


class GrpcServer:
    """One server connection: bytes in, bytes out."""

    def __init__(self) -> None:
        self._connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        self._connection.initiate_connection()
        self.greeting = self._connection.data_to_send()

    def answer(self, received: bytes) -> bytes | None:
        """What to send for these bytes; None where they are not HTTP/2."""
        try:
            for event in self._connection.receive_data(received):
                if isinstance(event, h2.events.RequestReceived):
                    self._connection.send_headers(event.stream_id, _UNIMPLEMENTED, end_stream=True)
        except h2.exceptions.ProtocolError:
            return None
        return self._connection.data_to_send()
