"""The pod's view through the API server: port-forwards, opened for one poll and closed with it.

One WebSocket carries the ports of a poll whose answers tell all; a port whose closing has to be
seen gets a WebSocket of its own. How a WebSocket is opened is handed in. The rule: only what came
out of the pod, or out of the error channel, is evidence; what happens on the way there is
`NoAccess`. How long a view counts is `diagnosis/remembered_pod_view.py`'s.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from weakref import WeakValueDictionary

from exporter.access.dialer import DatagramT, NoAccess
from exporter.access.forwarded_streams import MOST_PORTS, Stream, StreamBundle
from exporter.access.portforward_budget import Budget, Pause
from exporter.kube.api_errors import ForbiddenError, KubernetesError
from exporter.kube.websocket import PortForwardWebSocket
from exporter.model import SocketTable, TargetKey, View
from exporter.transport.protocols import StreamT

log = logging.getLogger(__name__)

RETRY_SECONDS = 600.0
"""How long a namespace that refused port-forwards gets no request."""

_PER_POLL = 3
"""Port-forwards of a poll."""

_OPEN_SECONDS = 10.0

Open = Callable[[TargetKey, Sequence[int]], AbstractAsyncContextManager[PortForwardWebSocket]]
"""Opens a WebSocket to the ports of a pod; raises KubernetesError."""


class PortForwards:
    """Port-forwards to any pod: one budget, and what the API server refused."""

    def __init__(
        self,
        open_websocket: Open,
        budget: Budget | None,
        clock: Callable[[], float] = time.monotonic,
        probe_budget: Budget | None = None,
    ) -> None:
        """`budget`: of polls; None: whoever asks is served. `probe_budget`: of `/probe`."""
        self.open_websocket = open_websocket
        self._budget = budget
        self._probe_budget = probe_budget
        self._clock = clock
        self._refused: dict[str, tuple[str, float]] = {}
        """Why a namespace gets no request, and until when on the monotonic clock."""
        self._pods: WeakValueDictionary[TargetKey, ForwardedPod] = WeakValueDictionary()

    def pod(self, key: TargetKey) -> "ForwardedPod":
        """The way into a pod for its polls."""
        return self._pods.setdefault(key, ForwardedPod(self, key, self._budget))

    def probed_pod(self, key: TargetKey) -> "ForwardedPod":
        """The way into a pod for one poll that somebody waits for."""
        return ForwardedPod(self, key, self._probe_budget, needs_attention=True)

    def seconds(self) -> float:
        """The time by the clock of all refusals and pauses."""
        return self._clock()

    @property
    def trouble(self) -> str:
        """Why port-forwards are refused somewhere; empty where they are not."""
        self._forget()
        return next((reason for reason, _ in self._refused.values()), "")

    def refusal(self, namespace: str) -> str:
        """Why this namespace gets no request now; empty where it does."""
        reason, until = self._refused.get(namespace, ("", 0.0))
        return reason if self._clock() < until else ""

    def refused(self, namespace: str, reason: str) -> None:
        """A namespace refused; that is logged once."""
        self._forget()
        if not self._refused:
            log.warning(
                "port-forwards are refused, asked again every %d s namespace=%s reason=%r",
                RETRY_SECONDS,
                namespace,
                reason,
            )
        self._refused[namespace] = reason, self._clock() + RETRY_SECONDS

    def allowed(self, namespace: str) -> None:
        """A namespace did not refuse."""
        if self._refused.pop(namespace, None) and not self._refused:
            log.info("port-forwards are allowed again")

    def _forget(self) -> None:
        """Drop refusals of namespaces whose pods had their turn since, and did not request again.

        There may be none of them any more.
        """
        seconds = self._budget.seconds_to_serve_all(_PER_POLL) if self._budget else 0.0
        oldest = self._clock() - RETRY_SECONDS - seconds
        self._refused = {name: row for name, row in self._refused.items() if row[1] > oldest}


class ForwardedPod:
    """The way into one pod. `needs_attention`: what was last seen there calls for another poll."""

    def __init__(
        self,
        forwarding: PortForwards,
        key: TargetKey,
        budget: Budget | None,
        *,
        needs_attention: bool = False,
    ) -> None:
        self.needs_attention = needs_attention
        self._forwarding = forwarding
        self._budget = budget
        self._key = key
        self._sockets = 0
        self._pause = Pause()

    def seconds_between_views(self) -> float:
        """The interval that the budget allows; 0 before the first poll."""
        return self._budget.seconds_to_serve_all(self._sockets) if self._budget else 0.0

    @asynccontextmanager
    async def entered(
        self, together: Sequence[int], apart: Sequence[int], *, urgent: bool
    ) -> AsyncIterator["PortForward | None"]:
        """Open what one poll needs, and close it after; None where the budget is spent.

        Args:
            together: ports that share WebSockets, as few as carry them.
            apart: ports whose end has to be seen: a WebSocket for each.
            urgent: the network's evidence is abnormal.
        """
        shared = [together[at : at + MOST_PORTS] for at in range(0, len(together), MOST_PORTS)]
        groups = [*shared, *((port,) for port in apart)]
        began = self._forwarding.seconds()
        refusal = self._forwarding.refusal(self._key.namespace) or self._pause.reason(began)
        budget, self._sockets = self._budget, len(groups)
        if refusal:
            if budget:
                budget.leave(self)
            yield PortForward(self._forwarding, self._key, None, refusal=refusal)
            return
        is_urgent = urgent or self.needs_attention
        if budget and not budget.take(self, len(groups), urgent=is_urgent):
            yield None
            return
        forward = PortForward(self._forwarding, self._key, budget, len(groups))
        try:
            async with asyncio.TaskGroup() as tasks:
                forward.tasks = tasks
                await asyncio.gather(*(forward.open(ports) for ports in groups))
                try:
                    yield forward
                finally:
                    forward.close()
        finally:
            if budget:
                budget.give_back(forward.sockets_open)
                self._pause.note(began, self._forwarding.seconds(), forward.why_unopened)


class PortForward:
    """Connects to ports of one pod during one poll.

    A connection that came about proves nothing yet: the port is dialled on the other side.
    """

    reports_accept = False

    def __init__(
        self,
        forwarding: PortForwards,
        key: TargetKey,
        budget: Budget | None,
        sockets_open: int = 0,
        refusal: str = "",
    ) -> None:
        self.address = "127.0.0.1"
        self.view = View.POD
        self.sockets_open = sockets_open
        self.tasks: asyncio.TaskGroup | None = None
        self._forwarding = forwarding
        self._budget = budget
        self._key = key
        self._refusal = refusal
        self._was_opened = False
        self._failure = ""
        self._running: list[asyncio.Task[None]] = []
        self._free: defaultdict[int, list[Stream]] = defaultdict(list)

    @property
    def why_unopened(self) -> str:
        """Why no WebSocket was opened; empty where one was."""
        return "" if self._was_opened else self._failure

    async def connect(self, port: int, factory: Callable[[], StreamT]) -> StreamT:
        """Take a stream to the port: one that is open, else on a WebSocket of its own."""
        if self._refusal:
            raise NoAccess(self._refusal)
        if not self._free[port]:
            self.sockets_open += 1
            if self._budget:
                self._budget.spend(1)
            await self.open((port,))
        return self._free[port].pop(0).attach(factory)

    async def datagram(self, _port: int, _factory: Callable[[], DatagramT]) -> DatagramT:
        """Never: a port-forward carries TCP only."""
        raise NoAccess("A port-forward carries TCP only.")

    async def sockets(self) -> SocketTable:
        """Never: a port-forward does not show the pod's socket table."""
        raise NoAccess("The socket table is seen only inside the pod's network namespace.")

    async def open(self, ports: Sequence[int]) -> None:
        """Open a WebSocket; its ports can be connected to from then on, if only to see a fault."""
        assert self.tasks, "used outside of a poll"  # noqa: S101
        bundle = StreamBundle(ports)
        is_open = asyncio.Event()
        self._running.append(self.tasks.create_task(self._carry(bundle, ports, is_open)))
        await is_open.wait()
        for stream in bundle.streams:
            self._free[stream.port].append(stream)

    def close(self) -> None:
        """Close every WebSocket."""
        for task in self._running:
            task.cancel()

    async def _carry(
        self, bundle: StreamBundle, ports: Sequence[int], is_open: asyncio.Event
    ) -> None:
        """Carry the streams of a WebSocket until one side ends it."""
        namespace = self._key.namespace
        try:
            async with asyncio.timeout(_OPEN_SECONDS) as opening:
                async with self._forwarding.open_websocket(self._key, ports) as socket:
                    opening.reschedule(None)
                    self._forwarding.allowed(namespace)
                    self._was_opened = True
                    is_open.set()
                    await _pump(bundle, socket)
            bundle.end(None)
        except ForbiddenError as error:
            reason = _sentence(error)
            self._forwarding.refused(namespace, reason)
            bundle.end(NoAccess(reason))
        except KubernetesError as error:
            self._failure = _sentence(error)
            bundle.end(NoAccess(self._failure))
        except TimeoutError:
            self._failure = f"No port-forward was opened within {_OPEN_SECONDS:g} s."
            bundle.end(NoAccess(self._failure))
        finally:
            is_open.set()


def _sentence(error: KubernetesError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


async def _pump(bundle: StreamBundle, socket: PortForwardWebSocket) -> None:
    """Both directions until one ends; raises what the first to end raised."""
    ways = [asyncio.create_task(way(socket)) for way in (bundle.send, bundle.receive)]
    try:
        done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.wait(ways)
    for way in done:
        way.result()
