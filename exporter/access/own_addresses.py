"""Whether an address is one of this network namespace's own: no packet is sent for it."""

import socket

_DISCARD = 9


def is_own_address(address: str) -> bool:
    """Whether this process's network has the address: the kernel would send from it to itself.

    A pod with a network of its own does not have its node's, though it runs there.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect((address, _DISCARD))
            own: str = asking.getsockname()[0]
    except OSError:
        return False
    return own == address
