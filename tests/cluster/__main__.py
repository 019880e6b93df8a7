"""Bring the cluster up and keep it until Ctrl-C: `make cluster`."""

import argparse
import asyncio
import signal
import sys

from tests.cluster import istio
from tests.cluster.assets import missing
from tests.cluster.cluster import running
from tests.cluster.helm import Helm
from tests.cluster.machine import logs
from tests.real.kubernetes.assets import say


async def keep(nodes: int, *, with_istio: bool) -> None:
    """Bring it up, print how to use it, and wait to be cancelled."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task, "runs outside of a task"
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    async with running(say, nodes) as (cluster, admin):
        if with_istio:
            say("Installing Istio ...")
            await istio.install(admin, Helm(cluster))
        say(f"export KUBECONFIG={cluster.kubeconfig}")
        say(f"Logs are in {logs()}. Ctrl-C removes everything.")
        await asyncio.Event().wait()


def main() -> int:
    """Parse the arguments; 0 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--istio", action="store_true", help="install Istio, too")
    arguments = parser.parse_args()
    if absent := missing():
        say(f"Not made: {', '.join(absent)} (make cluster-assets)")
        return 1
    try:
        asyncio.run(keep(arguments.nodes, with_istio=arguments.istio))
    except asyncio.CancelledError:
        say("The cluster is removed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
