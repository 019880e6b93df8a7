"""Every prober, and a poll of every role, on a kernel that refuses a call: `ADDRESS PORT`.

A seccomp filter lets a call fail with an error that cannot be brought about otherwise: no memory,
no buffers. For each call and error one line of JSON is printed: what each probe and poll came to.
"""

import asyncio
import ctypes
import errno
import json
import os
import platform
import struct
import sys
import traceback
from collections.abc import Callable

from exporter.access.direct import Direct
from exporter.config import Config
from exporter.model import EVERY_CADENCE, Memory, Probe, Role, Target, TargetKey, View
from exporter.poll.poll_target import poll_once
from exporter.probes.attempt import Attempt, ProbeOptions
from exporter.probes.probers import PROBERS, probe

_NUMBERS = {
    "x86_64": {"socket": 41, "connect": 42, "sendto": 44, "recvfrom": 45, "setsockopt": 54},
    "aarch64": {"socket": 198, "connect": 203, "sendto": 206, "recvfrom": 207, "setsockopt": 208},
}[platform.machine()]
"""The numbers of the system calls (Linux uapi/asm/unistd.h)."""

REFUSALS = (
    ("socket", errno.EMFILE),
    ("socket", errno.ENFILE),
    ("socket", errno.ENOBUFS),
    ("socket", errno.ENOMEM),
    ("setsockopt", errno.ENOBUFS),
    ("connect", errno.EADDRNOTAVAIL),
    ("connect", errno.EAGAIN),
    ("connect", errno.ENOBUFS),
    ("connect", errno.ENOMEM),
    ("connect", errno.EPERM),
    ("sendto", errno.ENOBUFS),
    ("sendto", errno.ENOMEM),
    ("recvfrom", errno.ENOBUFS),
    ("recvfrom", errno.ENOMEM),
)

_SET_SECCOMP, _FILTER, _NO_NEW_PRIVILEGES = 22, 2, 38
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


def refuse(call: str, number: int) -> None:
    """Let this call fail with this error in this process from now on (seccomp(2))."""
    rows = (
        (_LOAD, 0, 0, 0),
        (_JUMP_IF_EQUAL, 0, 1, _NUMBERS[call]),
        (_RETURN, 0, 0, _ERRNO | number),
        (_RETURN, 0, 0, _ALLOW),
    )
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in rows))
    header = struct.pack("HxxxxxxP", len(rows), ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    refused = libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    refused |= libc.prctl(_SET_SECCOMP, _FILTER, ctypes.create_string_buffer(header), 0, 0)
    if refused:
        raise OSError(ctypes.get_errno(), "seccomp")


async def look(address: str, port: int) -> dict[str, dict[str, str]]:
    """The outcome of each prober, and the cause of each role with its class."""
    target = Target(key=TargetKey("shop", "cart"), role=Role.SIDECAR, addresses=(address,))
    outcomes = {}
    for kind in PROBERS:
        question = Probe(port, kind, View.NETWORK, address, "/a", via=port)
        attempt = Attempt(Direct(address), question, EVERY_CADENCE, 1.0, target, ProbeOptions())
        outcomes[kind.value] = (await probe(attempt)).outcome.value
    causes = {}
    for role in Role:
        target = Target(
            key=TargetKey("shop", role), role=role, addresses=(address,), istio_version="1.30.0"
        )
        found = (await poll_once(target, Memory(), EVERY_CADENCE, Config(), 1e9)).record
        cause = found.diagnosis
        down = [str(row.port) for row in found.verdicts if row.up is False]
        causes[role.value] = f"{cause.cause} {cause.cause_class}" if cause else "none"
        causes[role.value] += f" down {','.join(down)}" if down else ""
    return {"outcomes": outcomes, "causes": causes}


def in_child(action: Callable[[], object]) -> None:
    """Run an action in a process of its own, and wait until it has ended."""
    child = os.fork()
    if not child:
        status = 1
        try:
            action()
            status = 0
        except BaseException:  # noqa: BLE001 - it is the child's
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(status)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("a child failed")


def main(address: str, port: int) -> None:
    """Print a line for each refusal."""

    async def report(call: str, number: int) -> None:
        await asyncio.sleep(0)
        refuse(call, number)
        found = await look(address, port)
        sys.stdout.write(f"{json.dumps([call, errno.errorcode[number], found])}\n")

    for call, number in REFUSALS:
        in_child(lambda call=call, number=number: asyncio.run(report(call, number)))  # type: ignore[misc]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
