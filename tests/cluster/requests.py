"""Pods that request something once and end: Succeeded where they got what their name says."""

from tests.cluster.workloads import pod
from tests.real.kubernetes.client import Document

_FETCH = """\
import sys, time, urllib.request
for _ in range(100):
    try:
        urllib.request.urlopen(sys.argv[1], timeout=5)
        sys.exit(0)
    except OSError as error:
        print(error)
    time.sleep(0.2)
sys.exit(1)
"""
_CONNECT = """\
import socket, sys, time
for _ in range(100):
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()
    except ConnectionRefusedError:
        sys.exit(0)
    time.sleep(0.2)
sys.exit(1)
"""


def fetch(where: str, name: str, url: str) -> Document:
    """It succeeds as soon as the page is served; a policy admits a new pod a moment later."""
    return _client(where, name, _FETCH, url)


def is_rejected(where: str, name: str, address: str, port: int) -> Document:
    """It succeeds as soon as a connect is rejected."""
    return _client(where, name, _CONNECT, address, str(port))


def _client(where: str, name: str, program: str, *arguments: str) -> Document:
    return pod(where, name, ("python3", "-c", program, *arguments), restartPolicy="Never")
